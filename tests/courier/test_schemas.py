"""What a real run puts on NATS fits the published schemas, and comes in order."""

import json

from nats.js.api import RawStreamMsg
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import eventually, running_pod
from tests.courier.test_run import ENV, FIX, PYTEST
from tests.schemas import valid
from tests.servers.nats import NatsServer
from tests.servers.vllm import VLLM

import nats as nats_py
from agenttask_courier.places import Places

THOUGHTS = ("analysis", "decision", "action", "model_call")


async def recorded(nats: NatsServer, stream: str) -> list[RawStreamMsg]:
    client = await nats_py.connect(nats.url)
    jetstream = client.jetstream()
    last = (await jetstream.stream_info(stream)).state.last_seq
    found = [await jetstream.get_msg(stream, n) for n in range(1, last + 1)]
    await client.close()
    return found


async def test_events_and_result_of_a_run_fit_and_are_ordered_over_a_restart(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    document = make_document(verify=[PYTEST], env=ENV)
    async with running_pod(places, document, vllm.url, nats.url) as pod:
        await pod.agent.attach()
        for step in range(1, 9):
            if step == 4:
                nats.stop()
            body = {"step": step, "type": THOUGHTS[step % 4], "message": "m", "data": {"n": step}}
            assert (await pod.agent.door.post("/events", json=body)).status_code == 202
            if step == 6:
                nats.start()
        pod.agent.commit(FIX)
        await pod.agent.hand_in(
            summary="done",
            reasoningLog=[{"iteration": 1, "type": "decision", "content": "add"}],
            operations=[{"seq": 1, "operation": "files.edit_file", "success": True}],
        )
        await pod.agent.receipt()
        await eventually(lambda: not pod.courier.telling.publisher._waiting)
    events = await recorded(nats, "AGENT_RESPONSES")
    payloads = [valid("agent.response", event.data or b"") for event in events]
    numbers = [int(payload["event_id"].rpartition("/")[2]) for payload in payloads]
    assert numbers == sorted(set(numbers)) == list(range(1, len(numbers) + 1))
    assert [p["kind"] for p in payloads] == ["started", *["progress"] * (len(payloads) - 1)]
    assert [p["data"]["n"] for p in payloads if "n" in p["data"]] == list(range(1, 9))
    assert [p["step"] for p in payloads[-2:]] == ["Verifying", "Publishing"]
    (result,) = await recorded(nats, "AGENT_RESULTS")
    fitting = valid("agent.results", result.data or b"")
    assert fitting["verdict"] == "Verified"
    assert fitting["reasoning_log"][0]["content"] == "add"
    assert json.loads(result.data or b"") == fitting
