"""Whole runs: a real git server, a real NATS, a peer like vLLM, real sockets."""

import asyncio
import hashlib
import json
import sys

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files
from tests.courier.pod import Pod, apply_check, eventually, running_pod
from tests.servers.githttps import PASSWORD
from tests.servers.nats import NatsServer
from tests.servers.vllm import VLLM

import nats as nats_py
from agenttask_courier import serve
from agenttask_courier.drain import drain
from agenttask_courier.places import Places

FIX = {"src/calc.py": "def add(a, b):\n    return a + b\n"}
PYTEST = {
    "name": "tests",
    "run": [sys.executable, "-m", "pytest", "-q", "tests"],
    "timeoutSeconds": 60,
}
ENV = [{"name": "PYTHONPATH", "value": "src"}]


async def test_verified_change_is_pushed_and_published(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    document = make_document(verify=[PYTEST], env=ENV)
    async with running_pod(places, document, vllm.url, nats.url) as pod:
        await pod.agent.attach()
        assert (await pod.agent.ask()).json()["choices"][0]["message"]["content"] == "done"
        commit = pod.agent.commit(FIX)
        await pod.agent.door.put("/artifacts/transcript.jsonl", content=b"{}\n")
        claimed = {"modelCalls": 99, "inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
        await pod.agent.hand_in(message="fixed", usage=claimed)
        receipt = await pod.agent.receipt()
        digest = pod.digest()
    assert receipt == {
        "phase": "Succeeded",
        "reason": "Completed",
        "message": "fixed",
        "commitSHA": commit,
    }
    assert origin.commit("agenttask/fix-add") == commit
    assert digest.final
    assert digest.verdict == "Verified"
    assert digest.tests == (1, 0, 0)
    assert (digest.calls, digest.input_tokens, digest.output_tokens) == (1, 10, 5)
    assert digest.stored is True
    payload = await published_result(nats)
    assert hashlib.sha256(payload).hexdigest() == digest.result_sha256
    refs = {ref["name"]: ref for ref in json.loads(payload)["artifacts"]["refs"]}
    kept = {"transcript.jsonl", "change.patch", "report.json", "workspace-report.json"}
    assert set(refs) == kept
    assert json.loads(payload)["usage"]["model_calls"] == 1
    report = json.loads(await stored_object(nats, refs["workspace-report.json"]["ref"]))
    assert (report["gate"], report["rigor"], report["score"]) == ("Pass", "L2", 100)
    assert report["timings"]["verify_seconds"] > 0
    for ref in refs.values():
        stored = await stored_object(nats, ref["ref"])
        assert hashlib.sha256(stored).hexdigest() == ref["sha256"]


async def published_result(nats: NatsServer) -> bytes:
    client = await nats_py.connect(nats.url)
    message = await client.jetstream().get_last_msg("AGENT_RESULTS", "agent.results.team-a.fix-add")
    await client.close()
    assert message.data is not None
    return message.data


async def stored_object(nats: NatsServer, ref: str) -> bytes:
    bucket, _, key = ref.removeprefix("nats://").partition("/")
    client = await nats_py.connect(nats.url)
    store = await client.jetstream().object_store(bucket)
    found = await store.get(key)
    await client.close()
    return found.data or b""


def outcome(pod: Pod) -> tuple[str, str, str]:
    digest = pod.digest()
    return digest.phase, digest.reason, digest.verdict


async def test_failing_check_rejects_the_change(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(verify=[PYTEST], env=ENV), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit({"README.md": "# Nothing fixed\n"})
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "VerificationFailed", "Rejected")
        assert pod.digest().tests == (0, 1, 0)
        assert "verify step tests ended with exit code 1: 1 failed" in pod.digest().message
        assert not list(places.checkout.iterdir())
    assert not origin.has("agenttask/fix-add")


async def test_edited_protected_test_is_judged_by_the_base_version(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    cheat = {
        "tests/test_calc.py": "def test_add():\n    pass\n",
        "tests/conftest.py": "collect_ignore = ['test_calc.py']\n",
    }
    async with running_pod(places, make_document(verify=[PYTEST], env=ENV), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(cheat)
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "VerificationFailed", "Rejected")
        verification = pod.courier.judge.evidence.verification
    assert verification is not None
    assert set(verification.protected_touched) == set(cheat)
    assert not origin.has("agenttask/fix-add")


async def test_deleted_protected_test_is_judged_by_the_base_version(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(verify=[PYTEST], env=ENV), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit({"tests/test_calc.py": None})
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "VerificationFailed", "Rejected")


async def test_failed_setup_is_named(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    document = make_document(setup=[{"name": "deps", "run": ["false"]}], verify=[PYTEST])
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "SetupFailed", "")
        assert "deps" in pod.digest().message


async def test_denied_path_is_refused(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit({**FIX, ".github/workflows/own.yml": "on: push\n"})
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "PolicyDenied", "Rejected")
        assert ".github/workflows/own.yml" in pod.digest().message
    assert not origin.has("agenttask/fix-add")


async def test_leaked_secret_is_refused_without_being_shown(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit({"notes.txt": f"the password is {PASSWORD}!\n"})
        pod.agent.commit({"notes.txt": None, **FIX})
        await pod.agent.hand_in()
        receipt = await pod.agent.receipt()
    assert receipt["reason"] == "PolicyDenied"
    assert PASSWORD not in receipt["message"]


@pytest.mark.parametrize("bundle", [b"", None], ids=["no bundle", "an empty commit"])
async def test_no_change_fails_when_one_was_asked(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, bundle: bytes | None
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        git(places.repo, "commit", "-q", "--allow-empty", "-m", "nothing")
        await pod.agent.hand_in(bundle)
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "NoChange", "NoChange")


async def test_no_change_succeeds_when_none_was_asked(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    document = make_document(output={"mode": "None"}, constraints={"readOnly": True})
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        await pod.agent.hand_in(b"", message="looked around")
        await pod.agent.receipt()
        assert outcome(pod) == ("Succeeded", "Completed", "NoChange")


async def test_unfinished_work_keeps_its_reason_and_is_not_pushed(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(FIX)
        await pod.agent.hand_in(stopReason="IterationLimit", message="10 replies")
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "IterationLimit", "")
        assert "return a + b" in pod.patch()
    assert not origin.has("agenttask/fix-add")


async def test_nats_down_at_the_end_leaves_the_outcome_alone(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    clocks = {"runSeconds": 60, "flushSeconds": 1, "graceSeconds": 30}
    async with running_pod(places, make_document(clocks=clocks), vllm.url, nats.url) as pod:
        await pod.agent.attach()
        commit = pod.agent.commit(FIX)
        nats.stop()
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Succeeded", "Completed", "Unverified")
        assert pod.digest().stored is False
        assert pod.digest().result_sha256 == ""
    assert origin.commit("agenttask/fix-add") == commit


async def test_nats_back_in_time_gets_everything(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    nats.stop()
    clocks = {"runSeconds": 60, "flushSeconds": 20, "graceSeconds": 30}
    async with running_pod(places, make_document(clocks=clocks), vllm.url, nats.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(FIX)
        for step in range(5):
            event = {"step": step, "type": "decision", "message": f"step {step}"}
            assert (await pod.agent.door.post("/events", json=event)).status_code == 202
        await pod.agent.hand_in()
        await eventually(lambda: pod.digest().reason == "Publishing")
        nats.start()
        await pod.agent.receipt()
        assert pod.digest().stored is True
    kinds = [json.loads(data)["kind"] for data in await all_messages(nats, "AGENT_RESPONSES")]
    assert kinds[0] == "started"
    assert kinds.count("progress") >= 5
    assert len(await all_messages(nats, "AGENT_RESULTS")) == 1


async def test_killed_agent_leaves_no_result_but_its_work(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, nats: NatsServer
):
    async with running_pod(places, make_document(), vllm.url, nats.url) as pod:
        await pod.agent.attach()
        write_files(places.repo, FIX)
        await pod.agent.die()
        await pod.settled()
        assert outcome(pod) == ("Failed", "NoResult", "")
        apply_check(origin.work, pod.patch())
        assert pod.digest().stored is True
    result = json.loads(await published_result(nats))
    assert [ref["name"] for ref in result["artifacts"]["refs"]] == ["change.patch"]
    assert result["success"] is False
    assert not origin.has("agenttask/fix-add")


async def test_deadline_closes_the_gate_and_salvages(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    vllm: VLLM,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(serve, "DELIVERY_SECONDS", 0.3)
    clocks = {"runSeconds": 1, "flushSeconds": 1, "graceSeconds": 30}
    async with running_pod(places, make_document(clocks=clocks), vllm.url) as pod:
        await pod.agent.attach()
        write_files(places.repo, FIX)
        receipt = await pod.agent.receipt()
        assert receipt["reason"] == "DeadlineExceeded"
        refused = await pod.agent.ask()
        assert refused.status_code == 403
        assert refused.json()["error"]["type"] == "gate_closed"
        assert "return a + b" in pod.patch()


async def test_deadline_ends_a_check_that_takes_too_long(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    clocks = {"runSeconds": 2, "flushSeconds": 1, "graceSeconds": 30}
    document = make_document(clocks=clocks, verify=[{"name": "slow", "run": ["sleep", "30"]}])
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        assert (await pod.agent.receipt())["reason"] == "DeadlineExceeded"


KEPT = "agenttask/fix-add-1-abcdef12"


async def test_moved_branch_is_not_overwritten(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        theirs = origin.push_from_elsewhere("agenttask/fix-add")
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "BaseMoved", "")
        assert "has changed since the clone" in pod.digest().message
        assert pod.digest().branch == KEPT
    assert origin.commit("agenttask/fix-add") == theirs
    assert origin.commit(KEPT) == pod.digest().commit


async def test_own_earlier_branch_is_replaced(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    origin.push_from_elsewhere("agenttask/fix-add")
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        commit = pod.agent.commit(FIX)
        await pod.agent.hand_in()
        assert (await pod.agent.receipt())["phase"] == "Succeeded"
    assert origin.commit("agenttask/fix-add") == commit


async def test_drain_salvages_and_returns_with_the_last_words(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        write_files(places.repo, FIX)
        draining = asyncio.create_task(asyncio.to_thread(drain, places, 15))
        await eventually(pod.courier.clocks.ending.is_set)
        await pod.agent.die()
        assert await draining == 0
        assert outcome(pod) == ("Failed", "NoResult", "")
        assert "return a + b" in pod.patch()
        assert await asyncio.to_thread(drain, places, 5) == 0


async def test_drain_takes_what_the_agent_hands_in_at_the_last_moment(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        pod.courier.terminate()
        pod.agent.commit(FIX)
        await pod.agent.hand_in(stopReason="Cancelled")
        await pod.settled()
        assert outcome(pod) == ("Failed", "NoResult", "")
        assert "return a + b" in pod.patch()


async def test_grace_period_ends_a_check_under_way(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    clocks = {"runSeconds": 60, "flushSeconds": 5, "graceSeconds": 11}
    document = make_document(clocks=clocks, verify=[{"name": "slow", "run": ["sleep", "30"]}])
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        await eventually(lambda: pod.digest().reason == "Verifying")
        pod.courier.terminate()
        await pod.settled()
        assert outcome(pod) == ("Failed", "NoResult", "")
    assert not origin.has("agenttask/fix-add")


async def test_courier_without_an_agent_says_nothing_final(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await eventually(places.door_socket.exists)
        pod.courier.terminate()
        await pod.settled()
        assert pod.digest().reason == "Preparing"
        assert not pod.digest().final


def test_drain_ends_when_no_courier_comes(places: Places):
    assert drain(places, 0.1, start_seconds=0.1) == 0


async def all_messages(nats: NatsServer, stream: str) -> list[bytes]:
    client = await nats_py.connect(nats.url)
    jetstream = client.jetstream()
    state = (await jetstream.stream_info(stream)).state
    found = [await jetstream.get_msg(stream, n) for n in range(1, state.last_seq + 1)]
    await client.close()
    return [message.data or b"" for message in found]
