"""Operator, tenant and listener work with exactly the rights of docs/contract.md, and no more."""

import asyncio
from collections.abc import Sequence

import pytest
from nats.aio.msg import Msg
from tests.operator.test_outbox import message, result, until
from tests.servers.nats import NatsServer, free_port, nats_binary
from tests.servers.natspermissions import ADMIN, write_config

import nats
from agenttask_api.commands import CommandKind
from agenttask_api.contextrecord import record_subject
from agenttask_api.ledger import LedgerEntry
from agenttask_api.status import AgentTaskStatus, Phase
from agenttask_operator.actions import Record
from agenttask_operator.bridge import Delivery
from agenttask_operator.commandfeed import CommandFeed
from agenttask_operator.ledger import Ledger
from agenttask_operator.observed import Key
from agenttask_operator.outbox import Outbox

OPERATOR, LISTENER, TENANT = "operator", "listener", "tenant"
LOGS = "workspace.logs.team-a.fix"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strict")
    options = ("-c", str(write_config(folder, OPERATOR, LISTENER, TENANT)))
    server = NatsServer(folder / "store", nats_binary(), free_port(), options)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def operator(server):
    outbox = Outbox(server.url.replace("//", f"//{OPERATOR}:{OPERATOR}@"))
    outbox.start()
    await until(lambda: outbox.connected)
    yield outbox
    await outbox.close()


class Client:
    """A plain client and what NATS refused it."""

    def __init__(self):
        self.refused: asyncio.Queue[str] = asyncio.Queue()

    async def connect(self, server, user):
        async def complain(error):
            await self.refused.put(str(error).lower())

        self.nats = await nats.connect(
            server.url, user=user, password=user, error_cb=complain, allow_reconnect=False
        )
        return self.nats


@pytest.fixture
async def client():
    client = Client()
    yield client
    await client.nats.close()


async def test_the_operator_finds_and_makes_all_streams(operator):
    assert operator.findings == {}


async def test_the_operator_tells_ends_results_records_and_dead_letters(operator):
    record = record_subject("default", "team-a", "fix")
    payload = result().model_dump_json(by_alias=True).encode()
    told = [
        message("1", "agent.response.started.team-a.fix"),
        message("2", "agent.response.completed.team-a.fix"),
        message("3", "agent.results.team-a.fix", payload),
        message("4", record),
        message("5", "context.updated.team-a.fix"),
        message("6", "agent.deadletter"),
    ]
    for each in told:
        assert await operator.publish([each]), each.subject
    assert await operator.fetch_result("team-a.fix", "") == result()
    assert await operator.fetch_record("default", Key("team-a", "fix")) is None


async def test_the_operator_keeps_the_ledger(operator):
    ledger, key = Ledger(operator), "default.team-a.fix.1-a"
    begun = await ledger.begin(Record(key, LedgerEntry(uid="u", run_key="1-a", started="t")))
    assert begun.reachable
    marked = (await ledger.mark_created(begun)).entry
    assert marked
    assert marked.job_created
    over = LedgerEntry(uid="u", run_key="1-a", outcome=AgentTaskStatus(phase=Phase.FAILED))
    assert await ledger.finish(Record(key, over))
    read = await ledger.read(key)
    assert read.entry
    assert read.entry.outcome
    assert read.entry.outcome.phase == Phase.FAILED
    assert (await ledger.withdraw(read)).reachable
    assert (await ledger.read(key)).entry is None


async def test_the_operator_takes_a_tenants_command_and_answers(operator, server, client):
    tenant = await client.connect(server, TENANT)
    answers = await tenant.subscribe("_INBOX_a.1")
    feed = CommandFeed(operator)
    taking = asyncio.create_task(feed.take(CommandKind.EXECUTE, 1))
    taken: Sequence[Delivery] = ()
    while not taken:
        await tenant.publish("agent.cmd.execute.a", b"{}")
        taken = await asyncio.wait_for(taking, 20)
        taking = asyncio.create_task(feed.take(CommandKind.EXECUTE, 1))
    taking.cancel()
    await taken[0].done()
    await operator.client.publish("_INBOX_a.1", b"done")
    assert (await answers.next_msg(10)).data == b"done"
    assert client.refused.empty()


async def test_a_listener_hears_its_namespace_and_asks_for_log_lines(operator, server, client):
    listener = await client.connect(server, LISTENER)
    admin = await nats.connect(server.url, user=ADMIN, password=ADMIN)
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    topics = ("results", "response.completed", "response.progress")
    subjects = [f"agent.{topic}.team-a.fix" for topic in topics]
    subjects += ["context.updated.team-a.fix", LOGS]
    for pattern in ("agent.results.team-a.>", "agent.response.*.team-a.>"):
        await listener.subscribe(pattern, cb=heard.put)
    for pattern in ("context.updated.team-a.>", "workspace.logs.team-a.*"):
        await listener.subscribe(pattern, cb=heard.put)

    async def answer(question):
        await question.respond(b"lines")

    await admin.subscribe(f"{LOGS}.ask", cb=answer)
    await asyncio.gather(listener.flush(), admin.flush())
    for subject in subjects:
        await admin.publish(subject, b"{}")
    found = [(await asyncio.wait_for(heard.get(), 10)).subject for _ in subjects]
    assert sorted(found) == sorted(subjects)
    assert (await listener.request(f"{LOGS}.ask", b"{}", timeout=10)).data == b"lines"
    assert client.refused.empty()
    await admin.close()


NOT_PUBLISHED = [
    (OPERATOR, "agent.cmd.execute.a"),
    (OPERATOR, f"{LOGS}.ask"),
    (OPERATOR, "$O.agent-artifacts-team-a.M.x"),
    (LISTENER, "agent.results.team-a.fix"),
    (LISTENER, "agent.response.completed.team-a.fix"),
    (LISTENER, "agent.cmd.execute.a"),
    (LISTENER, "$JS.API.STREAM.MSG.GET.AGENT_RESULTS"),
    (LISTENER, "$JS.API.STREAM.DELETE.AGENT_RESULTS"),
    (LISTENER, "$KV.agent-runs.x"),
    (LISTENER, "workspace.logs.team-b.fix.ask"),
    (LISTENER, "_INBOX_agenttask_operator.x"),
    (TENANT, "agent.cmd.execute.b"),
    (TENANT, "agent.cmd.execute"),
    (TENANT, "agent.results.team-a.fix"),
    (TENANT, "_INBOX_agenttask_operator.x"),
]


@pytest.mark.parametrize(("user", "subject"), NOT_PUBLISHED)
async def test_what_each_must_not_say(user, subject, server, client):
    connection = await client.connect(server, user)
    await connection.publish(subject, b"{}")
    assert "permissions violation for publish" in await asyncio.wait_for(client.refused.get(), 10)


NOT_HEARD = [
    (OPERATOR, "_INBOX.>"),
    (OPERATOR, "workspace.logs.>"),
    (LISTENER, "agent.results.>"),
    (LISTENER, "agent.response.completed.team-b.>"),
    (LISTENER, "workspace.logs.team-b.*"),
    (LISTENER, "agent.cmd.>"),
    (LISTENER, "$KV.>"),
    (LISTENER, "_INBOX_agenttask_operator.>"),
    (TENANT, "agent.results.>"),
    (TENANT, "_INBOX.>"),
    (TENANT, "_INBOX_agenttask_operator.>"),
]


@pytest.mark.parametrize(("user", "subject"), NOT_HEARD)
async def test_what_each_must_not_hear(user, subject, server, client):
    connection = await client.connect(server, user)
    await connection.subscribe(subject)
    words = await asyncio.wait_for(client.refused.get(), 10)
    assert "permissions violation for subscription" in words
