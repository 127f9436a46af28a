"""The bridge on a real nats-server: once, in order of nobody, and never silent."""

import asyncio
import json

import pytest
from tests.operator.bridges import (
    SPEC,
    A,
    Api,
    B,
    bridge,
    client,
    empty,
    ready,
    until,
)

from agenttask_api.commands import CommandKind
from agenttask_operator import commandfeed, commands
from agenttask_operator.errors import Forbidden, Refused

__all__ = ["client"]


async def test_execute_creates_as_the_tenant_and_answers(server, client):
    api = Api()
    async with bridge(server, api):
        await ready(client)
        reply = await client.ask(CommandKind.EXECUTE, {"name": "fix", "spec": SPEC}, "b", "m1")
    assert (reply["ok"], reply["task_id"], reply["event_id"]) == (True, "team-b.fix", "m1")
    assert api.tasks["team-b", "fix"]["spec"] == SPEC
    assert set(api.asked) == {("create", B)}


async def test_a_repeat_makes_no_second_task(server, client):
    api = Api()
    async with bridge(server, api):
        await ready(client)
        # One id in the header, where NATS itself drops the repeat, and one in the payload.
        first = await client.ask(CommandKind.EXECUTE, {"spec": SPEC, "event_id": "e1"})
        again = await client.ask(CommandKind.EXECUTE, {"spec": SPEC, "event_id": "e1"})
        await client.send(CommandKind.EXECUTE, {"spec": SPEC}, message_id="h1")
        assert (await client.send(CommandKind.EXECUTE, {"spec": SPEC}, message_id="h1")).duplicate
        await until(lambda: len(api.tasks) == 2)
    assert first == again
    assert first["task_id"].startswith("team-a.cmd-")


async def test_a_message_that_comes_again_after_a_crash_is_done_once(server, client, monkeypatch):
    """The process dies between the request and the acknowledgement."""
    monkeypatch.setattr(commandfeed, "ACK_WAIT_SECONDS", 1.0)
    forgets = commandfeed.NatsDelivery.done
    monkeypatch.setattr(commandfeed.NatsDelivery, "done", lambda _: asyncio.sleep(0))
    api = Api()
    async with bridge(server, api):
        await ready(client)
        await client.send(CommandKind.EXECUTE, {"spec": SPEC})
        await until(lambda: api.tasks)
    assert await client.waiting() == 1
    monkeypatch.setattr(commandfeed.NatsDelivery, "done", forgets)
    async with bridge(server, api):
        await until(lambda: empty(client))
    assert len(api.tasks) == 1
    assert api.asked["create", A] >= 2


async def test_stop_cancels_and_report_tells(server, client):
    api = Api()
    api.tasks["team-a", "fix"] = {"spec": dict(SPEC), "status": {"phase": "Running"}}
    async with bridge(server, api):
        await ready(client)
        assert (await client.ask(CommandKind.STOP, {"task_id": "team-a.fix"}))["ok"]
        reply = await client.ask(CommandKind.REPORT, {"task_id": "fix"})
        old = await client.ask(CommandKind.REPORT, {"task_id": "old"})
    assert api.tasks["team-a", "fix"]["spec"]["cancel"] is True
    assert reply["status"] == {"phase": "Running"}
    assert (old["ok"], old["record"]["phase"]) == (True, "Succeeded")
    assert {user for _, user in api.asked} == {A}


async def test_a_stop_that_overtakes_its_execute_waits_for_it(server, client):
    api = Api()
    async with bridge(server, api):
        await ready(client)
        await client.send(CommandKind.STOP, {"task_id": "fix"})
        await until(lambda: api.asked["patch", A])
        await client.send(CommandKind.EXECUTE, {"name": "fix", "spec": SPEC})
        await until(lambda: api.tasks.get(("team-a", "fix"), {}).get("spec", {}).get("cancel"))


async def test_a_stop_of_nothing_is_buried(server, client, monkeypatch):
    monkeypatch.setattr(commands, "MAX_PAUSE_SECONDS", 0.05)
    async with bridge(server, Api()):
        await ready(client)
        reply = await client.ask(CommandKind.STOP, {"task_id": "nobody"})
        letter = await client.letter()
    assert (reply["ok"], reply["reason"]) == (False, "NotFound")
    assert letter["reason"] == "NotFound"
    assert "team-a.nobody" in letter["message"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Forbidden('agenttasks is forbidden: User "x" cannot create'), "Forbidden"),
        (Refused("422 spec.runID: Invalid value"), "Refused"),
    ],
)
async def test_a_refusal_is_told_in_the_api_servers_words(server, client, error, reason):
    api = Api()
    api.trouble = [error]
    async with bridge(server, api):
        await ready(client)
        reply = await client.ask(CommandKind.EXECUTE, {"spec": SPEC})
        letter = await client.letter()
        await until(lambda: empty(client))
    assert (reply["ok"], reply["reason"], reply["message"]) == (False, reason, str(error))
    assert (letter["reason"], letter["message"]) == (reason, str(error))
    assert json.loads(letter["raw"])["spec"] == SPEC
    assert letter["topic"] == "agent.cmd.execute.a"


async def test_a_name_that_is_taken_by_other_work_is_a_conflict(server, client):
    api = Api()
    api.tasks["team-a", "fix"] = {"spec": {**SPEC, "prompt": "other"}}
    async with bridge(server, api):
        await ready(client)
        reply = await client.ask(CommandKind.EXECUTE, {"name": "fix", "spec": SPEC})
    assert (reply["ok"], reply["reason"]) == (False, "Conflict")
    assert api.tasks["team-a", "fix"]["spec"]["prompt"] == "other"
