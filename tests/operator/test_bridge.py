"""The bridge on a real nats-server: once, in order of nobody, never lost, never silent."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import Any

import pytest
from tests.operator.builders import NOW
from tests.schemas import valid
from tests.servers.nats import NatsServer, free_port, nats_binary
from tests.servers.natspermissions import write_config

import nats
from agenttask_api.commands import COMMANDS_STREAM, CommandKind, command_subject
from agenttask_api.contextrecord import ContextRecord
from agenttask_operator import commandfeed, commands
from agenttask_operator.bridge import Bridge
from agenttask_operator.commandfeed import CommandFeed
from agenttask_operator.errors import Conflict, Forbidden, NotFound, Refused, Unavailable
from agenttask_operator.outbox import Outbox
from agenttask_operator.tenants import read_tenants

SPEC = {"prompt": "fix it", "repo": {"url": "https://git.example/x.git"}}
TENANTS = read_tenants("a=team-a/bridge,b=team-b/bridge", "a")
A, B = (f"system:serviceaccount:team-{t}:bridge" for t in "ab")
RECORD = ContextRecord(
    task_id="team-a.old", uid="u", run_id="1", run_key="1-a", role="DEV", goal="g",
    phase="Succeeded", reason="Completed",
)  # fmt: skip


class Api:
    """An API server that keeps tasks and remembers who asked."""

    def __init__(self, user="", root=None):
        self.user, self.root = user, root or self
        if not root:
            self.slow = None
            """What creations wait for; None = nothing."""
            self.tasks: dict[tuple[str, str], dict[str, Any]] = {}
            self.asked: Counter[tuple[str, str]] = Counter()
            self.trouble = []
            """Raised one after the other, the last one for ever; None = no trouble."""

    def acting_as(self, user):
        return Api(user, self.root)

    async def create(self, _kind, manifest):
        self._ask("create")
        if self.root.slow:
            await self.root.slow.wait()
        key = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if key in self.root.tasks:
            raise Conflict("exists")
        self.root.tasks[key] = manifest
        return manifest

    async def get(self, _kind, name, namespace):
        self._ask("get")
        return self._find(namespace, name)

    async def patch(self, _kind, namespace, name, body):
        self._ask("patch")
        self._find(namespace, name)["spec"] |= body["spec"]

    def _find(self, namespace, name):
        try:
            return self.root.tasks[namespace, name]
        except KeyError:
            raise NotFound(name) from None

    def _ask(self, verb):
        self.root.asked[verb, self.user] += 1
        trouble = self.root.trouble
        error = trouble.pop(0) if len(trouble) > 1 else next(iter(trouble), None)
        if error:
            raise error


class Archive:
    async def fetch_result(self, _task_id, _sha256):
        return None

    async def fetch_record(self, _cluster, key):
        return RECORD if key.name == "old" else None


@pytest.fixture(scope="module")
def binary():
    return nats_binary()


@pytest.fixture
def server(binary, tmp_path):
    server = NatsServer(tmp_path, binary, free_port())
    server.start()
    yield server
    server.stop()


def new_bridge(outbox, api: Any, may_act=lambda: True):
    return Bridge(CommandFeed(outbox), api, Archive(), TENANTS, "c", lambda: NOW, may_act)


@contextlib.asynccontextmanager
async def bridge(server, api, may_act=lambda: True):
    """Run an operator's bridge; nothing of it is left behind."""
    outbox = Outbox(server.url)
    outbox.start()
    made = new_bridge(outbox, api, may_act)
    running = asyncio.create_task(made.run())
    try:
        yield made
        assert not running.done() or running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await outbox.close()


class Publisher:
    """A tenant's program."""

    def __init__(self, client):
        self.client, self.jetstream = client, client.jetstream()
        self.letters = []

    async def send(self, kind, body, tenant="a", message_id=""):
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Nats-Msg-Id": message_id} if message_id else None
        subject = command_subject(kind, tenant)
        return await self.jetstream.publish(subject, payload, headers=headers)

    async def ask(self, kind, body, tenant="a", message_id=""):
        """Send with an inbox and return the reply."""
        inbox = self.client.new_inbox()
        answers = await self.client.subscribe(inbox)
        await self.send(kind, {**body, "reply_to": inbox}, tenant, message_id)
        return valid("agent.cmd.reply", (await answers.next_msg(20)).data)

    async def letter(self):
        """Return the next dead letter."""
        if not self.letters:
            self.letters.append(await self.client.subscribe("agent.deadletter"))
        return valid("agent.deadletter", (await self.letters[0].next_msg(20)).data)

    async def waiting(self):
        return (await self.jetstream.stream_info(COMMANDS_STREAM)).state.messages


@pytest.fixture
async def client(server):
    client = await nats.connect(server.url)
    publisher = Publisher(client)
    publisher.letters.append(await client.subscribe("agent.deadletter"))
    await client.flush()
    yield publisher
    await client.close()


async def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            with contextlib.suppress(nats.js.errors.NotFoundError):
                if await answer:
                    return
        elif answer:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def ready(client):
    await until(lambda: stream_is_there(client))


async def stream_is_there(client):
    info = await client.jetstream.consumer_info(COMMANDS_STREAM, "agenttask-report")
    return info is not None


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


async def empty(client):
    return await client.waiting() == 0


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
