"""A bridge on a real nats-server, an API server that keeps tasks, and a tenant's program."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from typing import Any

import pytest
from tests.operator.builders import NOW
from tests.schemas import valid

import nats
from agenttask_api.commands import COMMANDS_STREAM, command_subject
from agenttask_api.contextrecord import ContextRecord
from agenttask_operator.bridge import Bridge
from agenttask_operator.commandfeed import CommandFeed
from agenttask_operator.errors import Conflict, NotFound
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


async def empty(client):
    return await client.waiting() == 0
