"""One suite for both ways to a database: in process, and through the courier's door.

Every answer, error and line of log is searched for the planted password.
"""

import asyncio
import base64
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from tests.agent.cells import pytest_pyfunc_call as pytest_pyfunc_call
from tests.databases import servers
from tests.databases.servers import PASSWORD
from tests.servers.certs import Certificates, make_certificates

from agenttask_agent.door import open_client
from agenttask_agent.tools.databases import Databases
from agenttask_agent.tools.door_databases import DoorDatabases
from agenttask_agent.tools.local_databases import LocalDatabases
from agenttask_api.databases import (
    DatabaseAnswer,
    DatabaseError,
    DatabaseRequest,
    Failure,
    Neo4jQuery,
    PostgresqlQuery,
    RedisCommand,
    Reply,
    Rows,
)
from agenttask_api.door import Receipt
from agenttask_api.refs import LocalRef
from agenttask_api.spec import Connection, ConnectionKind
from agenttask_courier.databases import make_handler
from agenttask_courier.door import Door
from agenttask_courier.gate import Gate
from agenttask_courier.inbox import Inbox
from agenttask_courier.sockets import listen

FORMS = (PASSWORD, "pl4nted%2FPa55-w0rd%2Bx", base64.b64encode(PASSWORD.encode()).decode())
KINDS = {"pg": "postgresql", "cache": "redis", "graph": "neo4j"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests of this folder out, unless they are asked for."""
    if os.environ.get("AGENTTASK_SLOW_TESTS") or "slow" in config.getoption("-m"):
        return
    here = Path(__file__).parent
    skip = pytest.mark.skip(reason="slow: AGENTTASK_SLOW_TESTS=1, as `make test-tools` sets it")
    for item in items:
        if here in item.path.parents and item.get_closest_marker("slow"):
            item.add_marker(skip)


def check_clean(text: str) -> None:
    """Fail when the text holds the planted password in any form."""
    assert not [form for form in FORMS if form in text]


def connection(name: str) -> Connection:
    """Return a connection by its name: kind, then `rw` where writing is allowed."""
    kind = ConnectionKind(KINDS[name.split("-")[0]])
    return Connection(
        name=name, kind=kind, secret_ref=LocalRef(name=f"{name}-db"), read_only="rw" not in name
    )


class Keys:
    """The folder with a folder of keys per connection, as the kubelet mounts it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.connections: list[Connection] = []

    def add(self, name: str, **keys: object) -> None:
        folder = self.root / name
        folder.mkdir()
        for key, value in keys.items():
            (folder / key).write_text(f"{value}\n", encoding="utf-8")
        self.connections.append(connection(name))


@dataclass
class Ask:
    """Asks a connection by name, and searches what comes back for the password."""

    databases: Databases

    def __call__(self, name: str, request: DatabaseRequest) -> DatabaseAnswer:
        try:
            answer = self.databases.execute(name, request)
        except DatabaseError as error:
            check_clean(f"{error!r} {error.__cause__!r} {error.__context__!r}")
            raise
        check_clean(repr(answer) + answer.model_dump_json())
        return answer

    def sql(self, query: str, *params: Any, on: str = "pg", seconds: float = 10) -> Rows:
        answer = self(on, PostgresqlQuery(query=query, params=params, seconds=seconds))
        assert isinstance(answer, Rows)
        return answer

    def redis(self, *command: str, on: str = "cache", seconds: float = 10) -> Reply:
        answer = self(on, RedisCommand(command=command, seconds=seconds))
        assert isinstance(answer, Reply)
        return answer

    def cypher(self, query: str, on: str = "graph", seconds: float = 10, **params: Any) -> Rows:
        answer = self(on, Neo4jQuery(query=query, params=params, seconds=seconds))
        assert isinstance(answer, Rows)
        return answer

    @contextmanager
    def fails(self, failure: Failure, words: str | None = None) -> Iterator[None]:
        with pytest.raises(DatabaseError, match=words) as caught:
            yield
        assert caught.value.failure is failure, str(caught.value)

    @contextmanager
    def fails_with(self, *failures: Failure, words: str | None = None) -> Iterator[None]:
        with pytest.raises(DatabaseError, match=words) as caught:
            yield
        assert caught.value.failure in failures, str(caught.value)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    keys = Keys(tmp_path_factory.mktemp("db"))
    keys.add("pg-down", host="127.0.0.1", port=servers.free_port(), user="u", password=PASSWORD)
    keys.add("cache-down", host="127.0.0.1", port=servers.free_port(), password=PASSWORD)
    keys.add("graph-down", host="127.0.0.1", port=servers.free_port(), password=PASSWORD)
    for kind in KINDS:
        keys.add(f"{kind}-silent", host="127.0.0.1", user="u", password=PASSWORD)
    keys.add("pg-empty")
    keys.add("cache-odd", url=f"redis://:{FORMS[1]}@cache.example/0?password={PASSWORD}")
    return keys


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="session")
def postgresql(keys: Keys, certificates: Certificates) -> Iterator[int]:
    trusted = {"ca.crt": certificates.ca.read_text(encoding="utf-8")}
    with servers.postgresql(certificates) as port:
        account = {"host": "127.0.0.1", "port": port, "password": PASSWORD, "database": "postgres"}
        keys.add("pg", url=f"postgresql://reader:{FORMS[1]}@127.0.0.1:{port}/postgres")
        keys.add("pg-rw", **account, user="writer")
        keys.add("pg-tls", **account, user="reader", **trusted)
        keys.add("pg-tls-other", **{**account, "host": "127.0.0.2"}, user="reader", **trusted)
        keys.add("pg-super", **account, user="root")
        keys.add("pg-filer", **account, user="filer")
        keys.add("pg-wrong", **{**account, "password": f"not-{PASSWORD}"}, user="reader")
        yield port


@pytest.fixture(scope="session")
def redis(keys: Keys, certificates: Certificates) -> Iterator[int]:
    trusted = {"ca.crt": certificates.ca.read_text(encoding="utf-8")}
    with servers.redis(certificates) as (port, tls):
        keys.add("cache-tls", url=f"rediss://agent:{FORMS[1]}@127.0.0.1:{tls}/0", **trusted)
        keys.add("cache-tls-other", url=f"rediss://agent:{FORMS[1]}@127.0.0.1:{tls}/0")
        keys.add("cache-careful", url=f"redis://careful:{FORMS[1]}@127.0.0.1:{port}/1")
        keys.add("cache", url=f"redis://agent:{FORMS[1]}@127.0.0.1:{port}/0")
        keys.add("cache-rw", host="127.0.0.1", port=port, user="agent", password=PASSWORD)
        keys.add("cache-rw-meek", host="127.0.0.1", port=port, user="meek", password=PASSWORD)
        keys.add("cache-wrong", url=f"redis://agent:not-{FORMS[1]}@127.0.0.1:{port}")
        yield port


@pytest.fixture(scope="session")
def neo4j(keys: Keys) -> Iterator[int]:
    with servers.neo4j() as port:
        keys.add("graph", url=f"bolt://neo4j:{FORMS[1]}@127.0.0.1:{port}")
        keys.add("graph-rw", host="127.0.0.1", port=port, user="neo4j", password=PASSWORD)
        keys.add("graph-wrong", url=f"bolt://neo4j:not-{FORMS[1]}@127.0.0.1:{port}")
        yield port


@contextmanager
def door(keys: Keys, path: Path) -> Iterator[Path]:
    """Open the courier's door with the database handler, in a thread of its own."""
    opened, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        receipt: asyncio.Future[Receipt] = loop.create_future()
        handler = make_handler(keys.connections, keys.root)
        inbox = Inbox(path.parent / "incoming", 1000)
        inbox.attached.set()
        app = Door(cast(Gate, None), inbox, print, receipt, databases=handler).app()
        async with listen(app, path):
            opened.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert opened.wait(10)
        yield path
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


@pytest.fixture
def silent(keys: Keys) -> Iterator[None]:
    """Have the connections `*-silent` lead to something that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        for kind in KINDS:
            port = str(server.getsockname()[1])
            (keys.root / f"{kind}-silent" / "port").write_text(port, encoding="utf-8")
        yield


@pytest.fixture
def door_socket(keys: Keys, tmp_path: Path) -> Iterator[Path]:
    with door(keys, tmp_path / "door.sock") as path:
        yield path


@pytest.fixture(params=["in process", "through the door"])
def ask(request: pytest.FixtureRequest, keys: Keys) -> Iterator[Ask]:
    if request.param == "in process":
        yield Ask(LocalDatabases(keys.connections, keys.root))
        return
    with open_client(request.getfixturevalue("door_socket")) as client:
        yield Ask(DoorDatabases(client))


@pytest.fixture
def behind(postgresql: int) -> Iterator["psycopg.Connection[Any]"]:
    """The superuser's own connection, to look at what statements left behind."""
    with psycopg.connect(servers.dsn(postgresql), autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def no_credential_in_logs(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[[], str]]:
    """Search all that was printed and logged, at every level of every library."""
    caplog.set_level("DEBUG")
    printed: list[str] = []

    def read() -> str:
        printed.append("".join(capfd.readouterr()))
        return "".join(printed)

    yield read
    check_clean(read() + caplog.text)
