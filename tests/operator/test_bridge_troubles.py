"""The bridge among poison, floods and outages, on a real nats-server: nothing is lost."""

import asyncio
import json

import pytest
from tests.operator.bridges import (
    SPEC,
    A,
    Api,
    bridge,
    client,
    empty,
    new_bridge,
    ready,
    stream_is_there,
    until,
)
from tests.servers.nats import NatsServer, free_port
from tests.servers.natspermissions import write_config

import nats
from agenttask_api.commands import COMMANDS_STREAM, CommandKind
from agenttask_operator import commandfeed, commands
from agenttask_operator.errors import Unavailable
from agenttask_operator.outbox import Outbox

__all__ = ["client"]


async def test_nothing_is_lost_while_the_api_server_is_away(server, client, monkeypatch):
    monkeypatch.setattr(commands, "MAX_PAUSE_SECONDS", 0.05)
    api = Api()
    api.trouble = [Unavailable("down")] * 20 + [None]
    async with bridge(server, api):
        await ready(client)
        replies = await asyncio.gather(
            *(client.ask(CommandKind.EXECUTE, {"spec": SPEC}, message_id=f"m{n}") for n in range(5))
        )
        await until(lambda: empty(client))
    assert all(reply["ok"] for reply in replies)
    assert len(api.tasks) == 5


async def test_poison_is_buried_and_holds_up_nobody(server, client, monkeypatch):
    monkeypatch.setattr(commands, "MAX_PAUSE_SECONDS", 0.05)
    api = Api()
    api.trouble = [RuntimeError("a fault")] * commands.MAX_FAULTS + [None]
    async with bridge(server, api) as running:
        settled: list[tuple[str, str]] = []
        running.on_settled = lambda kind, what: settled.append((kind, what))
        await ready(client)
        poison = await client.ask(CommandKind.EXECUTE, {"spec": SPEC}, message_id="poison")
        good = await client.ask(CommandKind.EXECUTE, {"spec": SPEC}, message_id="good")
        letter = await client.letter()
        await until(lambda: empty(client))
        assert settled == [("execute", "Undeliverable"), ("execute", "done")]
    assert (poison["reason"], good["ok"]) == ("Undeliverable", True)
    assert "RuntimeError" in letter["message"]
    assert "a fault" not in json.dumps(letter)


async def test_a_message_that_never_ends_is_given_up(server, client, monkeypatch):
    monkeypatch.setattr(commands, "MAX_PAUSE_SECONDS", 0.02)
    api = Api()
    api.trouble = [Unavailable("a webhook fails")]
    async with bridge(server, api):
        await ready(client)
        reply = await client.ask(CommandKind.EXECUTE, {"spec": SPEC})
        assert (await client.letter())["reason"] == "Undeliverable"
    assert reply["reason"] == "Undeliverable"
    assert api.asked["create", A] == commands.MAX_TRIES


async def test_300_kib_are_refused_with_words(server, client):
    async with bridge(server, Api()):
        await ready(client)
        body = {"spec": {**SPEC, "prompt": "x" * 300 * 1024}}
        reply = await client.ask(CommandKind.EXECUTE, body)
        letter = await client.letter()
    assert (reply["ok"], reply["reason"]) == (False, "TooLarge")
    assert letter["raw_bytes"] > 300 * 1024
    assert letter["truncated"]


async def test_rubbish_goes_to_the_dead_letters_and_the_rest_goes_on(server, client):
    rubbish = [b"", b"\0\xff", b"{}", b"[" * 5000, b'{"spec": 1}', b"null"]
    api = Api()
    async with bridge(server, api):
        await ready(client)
        for payload in rubbish:
            await client.send(CommandKind.EXECUTE, payload)
        await client.send(CommandKind.EXECUTE, {"spec": SPEC}, "stranger")
        letters = [await client.letter() for _ in range(len(rubbish) + 1)]
        assert (await client.ask(CommandKind.EXECUTE, {"spec": SPEC}))["ok"]
        await until(lambda: empty(client))
    assert {letter["reason"] for letter in letters} == {"InvalidCommand", "UnknownTenant"}
    assert len({letter["event_id"] for letter in letters}) == len(letters)
    assert len(api.tasks) == 1


async def test_a_flood_holds_up_no_stop_and_is_worked_off(server, client):
    flood = 2000
    api = Api()
    api.tasks["team-b", "slow"] = {"spec": dict(SPEC)}
    api.slow = asyncio.Event()
    async with bridge(server, api):
        await ready(client)
        for start in range(0, flood, 200):
            sends = (
                client.send(CommandKind.EXECUTE, {"spec": SPEC}, message_id=f"m{n}")
                for n in range(start, start + 200)
            )
            await asyncio.gather(*sends)
        assert (await client.ask(CommandKind.STOP, {"task_id": "slow"}, "b"))["ok"]
        assert await client.waiting() == flood
        api.slow.set()
        await until(lambda: empty(client), 60)
    assert len(api.tasks) == flood + 1


async def test_a_tenant_that_floods_fills_only_its_own_quota(server, client, monkeypatch):
    monkeypatch.setattr(commandfeed, "MAX_COMMANDS_PER_SUBJECT", 3)
    api = Api()
    api.trouble = [Unavailable("down")]
    async with bridge(server, api):
        await ready(client)
        for _ in range(3):
            await client.send(CommandKind.EXECUTE, {"spec": SPEC})
        with pytest.raises(nats.js.errors.APIError, match="maximum messages per subject"):
            await client.send(CommandKind.EXECUTE, {"spec": SPEC})
        await client.send(CommandKind.EXECUTE, {"spec": SPEC}, "b")


async def test_only_the_leader_acts(server, client, monkeypatch):
    monkeypatch.setattr(commands, "MAX_PAUSE_SECONDS", 0.05)
    leads: list[bool] = []
    standby, leader = Api(), Api()
    async with bridge(server, standby, lambda: bool(leads)), bridge(server, leader):
        await ready(client)
        replies = await asyncio.gather(
            *(client.ask(CommandKind.EXECUTE, {"spec": SPEC}, message_id=f"m{n}") for n in range(4))
        )
    assert all(reply["ok"] for reply in replies)
    assert (len(standby.tasks), len(leader.tasks)) == (0, 4)


async def test_a_restart_of_nats_loses_no_command(server, client, monkeypatch):
    monkeypatch.setattr(commandfeed, "ACK_WAIT_SECONDS", 2.0)
    monkeypatch.setattr(commandfeed, "TAKE_SECONDS", 0.5)
    api = Api()
    api.slow = asyncio.Event()
    async with bridge(server, api):
        await ready(client)
        for number in range(40):
            await client.send(CommandKind.EXECUTE, {"spec": SPEC}, message_id=f"m{number}")
        await until(lambda: api.asked["create", A])
        server.stop()
        api.slow.set()
        server.start()
        await until(lambda: len(api.tasks) == 40, 60)
        await until(lambda: client.client.is_connected, 60)
        await until(lambda: empty(client), 60)
    assert len(api.tasks) == 40


async def test_a_server_that_forgot_the_stream_gets_it_again(server, client, monkeypatch):
    monkeypatch.setattr(commandfeed, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(commandfeed, "TAKE_SECONDS", 0.5)
    async with bridge(server, Api()):
        await ready(client)
        await client.jetstream.delete_stream(COMMANDS_STREAM)
        await until(lambda: stream_is_there(client))
        assert (await client.ask(CommandKind.EXECUTE, {"spec": SPEC}))["ok"]


async def test_nats_permissions_keep_tenants_apart(binary, tmp_path):
    """The subject is what NATS can hold a tenant to: the reason why it names the tenant."""
    options = ("-c", str(write_config(tmp_path, "operator", "tenant")))
    server = NatsServer(tmp_path / "data", binary, free_port(), options)
    server.start()
    operator = Outbox(server.url.replace("//", "//operator:operator@"))
    operator.start()
    denied, api = [], Api()

    async def complain(error):
        denied.append(str(error).lower())

    task = asyncio.create_task(new_bridge(operator, api).run())
    client = await nats.connect(
        server.url, user="tenant", password="tenant", inbox_prefix="_INBOX_a", error_cb=complain
    )
    try:
        answers = await client.subscribe("_INBOX_a.1")
        await until(lambda: operator.connected)
        body = json.dumps({"name": "fix", "spec": SPEC, "reply_to": "_INBOX_a.1"}).encode()
        for subject in ("agent.cmd.execute.b", "agent.cmd.execute", "agent.deadletter"):
            await client.publish(subject, body)
        await until(lambda: len(denied) == 3)
        for _ in range(100):
            await client.publish("agent.cmd.execute.a", body)
            await asyncio.sleep(0.2)
            if api.tasks:
                break
        assert json.loads((await answers.next_msg(20)).data)["task_id"] == "team-a.fix"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()
        await operator.close()
        server.stop()
    assert all("permissions violation" in words for words in denied)
    assert set(api.tasks) == {("team-a", "fix")}
