"""A courier inside another program: what it is told, and what it keeps in memory."""

import asyncio
from dataclasses import replace

from tests.courier.conftest import MakeDocument, Origin, git
from tests.courier.pod import FakeAgent
from tests.servers.vllm import VLLM

from agenttask_api.clonefacts import CloneFacts
from agenttask_api.reasons import Reason
from agenttask_courier.clone import clone
from agenttask_courier.credentials import GitAccess
from agenttask_courier.decision import Outcome, Step
from agenttask_courier.embedding import Embedding
from agenttask_courier.places import Places
from agenttask_courier.result import Account
from agenttask_courier.serve import Courier
from agenttask_courier.settings import Settings

KEY = "sk-kept-in-memory-only"


async def run(places: Places, make_document: MakeDocument, url: str, around: Embedding, text: str):
    """See one agent through that commits the text; return its receipt."""
    document = make_document()
    assert await asyncio.to_thread(clone, places, document, access=around.access) == 0
    facts = CloneFacts.model_validate_json(places.clone_facts.read_bytes())
    courier = Courier(places, Settings(url), document, facts, around)
    serving = asyncio.create_task(courier.run())
    agent = FakeAgent(places)
    await agent.attach()
    assert (await agent.ask()).status_code == 200
    agent.commit({"notes.txt": text})
    await agent.hand_in()
    receipt = await agent.receipt()
    courier.terminate()
    await agent.die()
    await serving
    return receipt


def stand_in(places: Places, origin: Origin) -> GitAccess:
    """Return an access that finds the project in a local folder, without the Secret."""
    source = places.tmp / "source.git"
    git(places.tmp, "clone", "-q", "--bare", str(origin.work), str(source))
    return GitAccess({}, (f"url.{source}.insteadOf={origin.url}", "protocol.file.allow=always"))


async def test_another_way_to_the_repository_and_everything_told(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    steps: list[Step] = []
    accounts: list[Account] = []
    calls: list[int] = []
    around = Embedding(
        access=stand_in(places, origin),
        model_key=KEY,
        on_step=steps.append,
        on_account=accounts.append,
        on_usage=lambda usage: calls.append(usage.model_calls),
        on_ended=lambda outcome: replace(outcome, message="the embedder's word"),
    )
    receipt = await run(places, make_document, vllm.url, around, "plain")
    assert (receipt["phase"], receipt["message"]) == ("Succeeded", "the embedder's word")
    assert vllm.calls[0].authorization == f"Bearer {KEY}"
    assert steps == [Step.INTAKE, Step.POLICY, Step.PUSH]
    assert calls == [1]
    assert accounts[0].evidence.pushed
    assert not origin.has("agenttask/fix-add"), "only the stand-in has the branch"


async def test_a_change_with_the_key_in_it_is_refused(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    ended: list[Outcome] = []

    def keep(outcome: Outcome) -> Outcome:
        ended.append(outcome)
        return outcome

    around = Embedding(access=stand_in(places, origin), model_key=KEY, on_ended=keep)
    receipt = await run(places, make_document, vllm.url, around, f"the key is {KEY}")
    assert receipt["reason"] == "PolicyDenied"
    assert ended[0].reason is Reason.POLICY_DENIED
    assert KEY not in receipt["message"]
