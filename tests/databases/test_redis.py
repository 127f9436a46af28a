"""Redis: replies, the commands that are refused and why, and the limits."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from tests.databases.conftest import Ask, Keys
from tests.databases.servers import PASSWORD

from agenttask_api.databases import (
    MAX_ANSWER_BYTES,
    MAX_FIELD_BYTES,
    MAX_ROWS,
    DatabaseError,
    Failure,
    RedisCommand,
)
from agenttask_databases import keyvalue as executor
from agenttask_databases.commands import READ_COMMANDS, Description, refusal_of
from agenttask_databases.connection import read_connection


@pytest.fixture(scope="module")
def store(redis: int) -> Iterator[Redis]:
    with contextlib.closing(Redis(port=redis, username="agent", password=PASSWORD)) as store:
        store.mset({"text": "hello", "ä": "ö", "number": 7})
        store.set("bytes", b"\xff\x00a")
        store.hset("hash", mapping={"a": "1", "b": "2"})
        store.zadd("scores", {"x": 1.5})
        store.xadd("stream", {"f": "v"}, id="1-1")
        yield store


pytestmark = pytest.mark.usefixtures("store")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("GET", "text"), "hello"),
        (("get", "ä"), "ö"),
        (("GET", "nothing"), None),
        (("GET", "bytes"), "\\xff\x00a"),
        (("GET", "number"), "7"),
        (("STRLEN", "text"), 5),
        (("HGETALL", "hash"), ["a", "1", "b", "2"]),
        (("ZRANGE", "scores", "0", "-1", "WITHSCORES"), ["x", "1.5"]),
        (("XRANGE", "stream", "-", "+"), [["1-1", ["f", "v"]]]),
        (("TYPE", "hash"), "hash"),
        (("OBJECT", "ENCODING", "number"), "int"),
        (("XINFO", "GROUPS", "stream"), []),
        (("SCAN", "0", "MATCH", "tex*", "COUNT", "1000"), ["0", ["text"]]),
    ],
)
def test_reply_is_json(ask: Ask, command: tuple[str, ...], expected: object):
    assert ask.redis(*command).value == expected


@pytest.mark.parametrize("count", [MAX_ROWS, MAX_ROWS + 1])
def test_elements_end_at_the_limit(ask: Ask, store: Any, count: int):
    store.rpush("long", *range(count))
    answer = ask.redis("LRANGE", "long", "0", "-1")
    store.delete("long")
    assert isinstance(answer.value, list)
    assert (len(answer.value), answer.truncated) == (MAX_ROWS, count > MAX_ROWS)


@pytest.mark.parametrize("length", [MAX_FIELD_BYTES, MAX_FIELD_BYTES + 1])
def test_value_is_cut_visibly_at_the_limit(ask: Ask, store: Any, length: int):
    store.set("wide", "x" * length)
    answer = ask.redis("GET", "wide")
    cut = length > MAX_FIELD_BYTES
    assert (answer.truncated, "[... cut, 65537 bytes in all]" in str(answer.value)) == (cut, cut)


@pytest.mark.parametrize("extra", [0, 1])
def test_reply_ends_at_its_limit_of_bytes(ask: Ask, store: Any, extra: int):
    each = MAX_ANSWER_BYTES // 32 - 2
    store.rpush("heavy", *["x" * each] * 31, "x" * (each + extra))
    answer = ask.redis("LRANGE", "heavy", "0", "-1")
    store.delete("heavy")
    assert isinstance(answer.value, list)
    assert (len(answer.value), answer.truncated) == (32 - extra, bool(extra))


def test_gigantic_value_is_not_taken(ask: Ask, store: Any):
    store.setrange("giant", 20_000_000, "x")
    with ask.fails(Failure.TOO_LARGE, "more than 16777216 bytes"):
        ask.redis("GET", "giant")
    store.delete("giant")


WRITES = [
    ("SET", "text", "x"),
    ("DEL", "text"),
    ("GETDEL", "text"),
    ("GETEX", "text", "EX", "1"),
    ("INCR", "number"),
    ("SORT", "long", "STORE", "x"),
    ("GEORADIUS", "g", "0", "0", "1", "m", "STORE", "x"),
    ("XADD", "stream", "*", "a", "b"),
    ("RESTORE", "x", "0", "y"),
    ("BITFIELD", "text", "SET", "u8", "0", "1"),
    ("OBJECT", "HELP"),
    ("MEMORY", "PURGE"),
    ("PFCOUNT", "text"),
    ("PUBLISH", "a", "b"),
    ("XREAD", "BLOCK", "0", "STREAMS", "stream", "$"),
    ("PING",),
    ("",),
    ("GET text\r\nDEL text",),
]
NEVER = [
    ("FLUSHALL",),
    ("flushdb",),
    ("CONFIG", "GET", "requirepass"),
    ("CONFIG", "SET", "dir", "/tmp"),
    ("DEBUG", "SLEEP", "10"),
    ("SHUTDOWN", "NOSAVE"),
    ("EVAL", "return redis.call('DEL', 'text')", "0"),
    ("EVAL_RO", "while true do end", "0"),
    ("EVALSHA", "x", "0"),
    ("FCALL", "f", "0"),
    ("FUNCTION", "LOAD", "x"),
    ("SCRIPT", "LOAD", "x"),
    ("MODULE", "LOAD", "/tmp/x.so"),
    ("SAVE",),
    ("BGSAVE",),
    ("BGREWRITEAOF",),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("SLAVEOF", "127.0.0.1", "1"),
    ("ACL", "GETUSER", "agent"),
    ("ACL", "LIST"),
    ("MIGRATE", "127.0.0.1", "1", "text", "0", "100"),
    ("KEYS", "*"),
    ("MONITOR",),
    ("SUBSCRIBE", "a"),
    ("PSYNC", "?", "-1"),
    ("CLUSTER", "RESET"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "ID", "1"),
    ("AUTH", "agent", "x"),
    ("HELLO", "3"),
    ("SELECT", "1"),
    ("SWAPDB", "0", "1"),
    ("MULTI",),
    ("WAIT", "1", "0"),
    ("LATENCY", "RESET"),
    ("SLOWLOG", "GET"),
    ("COMMAND",),
]
DANGEROUS = [
    ("BLPOP", "none", "0"),
    ("BLMOVE", "a", "b", "LEFT", "LEFT", "0"),
    ("INFO",),
    ("ROLE",),
    ("SORT", "hash"),
    ("PFDEBUG", "GETREG", "text"),
    ("NOSUCHCOMMAND", "x"),
]


@pytest.mark.parametrize("command", [*WRITES, *NEVER, *DANGEROUS[:5]], ids=" ".join)
def test_read_only_connection_refuses(ask: Ask, store: Any, command: tuple[str, ...]):
    before = _state(store)
    with ask.fails(Failure.DENIED):
        ask.redis(*command)
    assert _state(store) == before


@pytest.mark.parametrize("command", [*NEVER, *DANGEROUS], ids=" ".join)
def test_writing_connection_refuses_what_belongs_to_the_server(
    ask: Ask, store: Any, command: tuple[str, ...]
):
    before = _state(store)
    with ask.fails(Failure.DENIED):
        ask.redis(*command, on="cache-rw")
    assert _state(store) == before


@pytest.mark.parametrize("command", [("GET",), ("SET", "a", "b"), ("NOSUCH", "x"), ("KEYS", "*")])
def test_no_connection_is_left_after_a_failure(ask: Ask, store: Any, command: tuple[str, ...]):
    before = len(store.client_list())
    for _ in range(3):
        with ask.fails_with(Failure.DENIED, Failure.STATEMENT):
            ask.redis(*command)
    for _ in range(50):
        if len(store.client_list()) == before:
            break
        time.sleep(0.05)
    assert len(store.client_list()) == before


@pytest.mark.parametrize("name", ["cache", "cache-tls", "cache-wrong"])
async def test_the_socket_is_closed_when_the_command_is_over(keys: Keys, name: str):
    """Not later, while the server says goodbye: the loop may have ended by then."""
    found = next(each for each in keys.connections if each.name == name)
    config, request = read_connection(found, keys.root), RedisCommand(command=("GET", "text"))
    before = sockets()
    with contextlib.suppress(DatabaseError):
        await executor.command(config, request)
    assert sockets() == before


def sockets() -> set[str]:
    """Return the open sockets of this process."""
    links = (str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return {link for link in links if link.startswith("socket:")}


def test_hint_says_what_to_use_instead(ask: Ask):
    with ask.fails(Failure.DENIED, "KEYS is not allowed; use SCAN 0 MATCH pattern"):
        ask.redis("KEYS", "*", on="cache-rw")


@pytest.mark.parametrize("count", ["10001", "-1", "x", "9" * 30, "٣"])
def test_scan_asks_for_no_more_than_its_bound(ask: Ask, count: str):
    with ask.fails(Failure.DENIED, "COUNT is a number up to 10000"):
        ask.redis("SCAN", "0", "count", count)


def test_writing_connection_writes(ask: Ask, store: Any):
    assert ask.redis("SET", "mine", "1", "EX", "60", on="cache-rw").value == "OK"
    assert store.get("mine") == b"1"
    assert ask.redis("DEL", "mine", on="cache-rw").value == 1


def test_server_decides_what_a_name_does():
    """A server may rename commands: what it calls GET may be another one's DEL."""
    writing = Description(frozenset({"write"}), frozenset({"@write"}))
    assert "writes on this server" in (refusal_of("GET", writing, read_only=True) or "")
    assert refusal_of("GET", writing, read_only=False) is None
    assert "knows no command" in (refusal_of("GET", None, read_only=True) or "")


def test_every_command_of_the_list_reads_on_a_real_server(store: Any):
    entries = {n: store.execute_command("COMMAND INFO", n)[0] for n in sorted(READ_COMMANDS)}
    known = {name: entry for name, entry in entries.items() if entry is not None}
    assert len(known) > len(entries) / 2, "an old server lacks some, not most"
    assert [name for name, entry in known.items() if b"readonly" not in entry[2]] == []


def test_error_is_the_servers(ask: Ask):
    with ask.fails(Failure.STATEMENT, "wrong kind of value"):
        ask.redis("GET", "hash")
    with ask.fails(Failure.STATEMENT, "wrong number of arguments"):
        ask.redis("GET")


def test_account_without_permission_is_told(ask: Ask):
    with ask.fails(Failure.DENIED, "permission"):
        ask.redis("INCR", "number", on="cache-rw-meek")


def test_unreachable_server_is_not_named(ask: Ask):
    with ask.fails(Failure.UNAVAILABLE, "^the server of connection 'cache-down' cannot be reached"):
        ask.redis("GET", "x", on="cache-down")


def test_authority_of_ones_own_is_demanded_to_match(ask: Ask):
    assert ask.redis("GET", "text", on="cache-tls").value == "hello"
    with ask.fails(Failure.UNAVAILABLE, "cannot be reached"):
        ask.redis("GET", "text", on="cache-tls-other")


def test_account_of_the_documentation_suffices(ask: Ask):
    assert ask.redis("EXISTS", "text", on="cache-careful").value == 0


def test_wrong_password_is_said_without_the_account(ask: Ask):
    with ask.fails(Failure.UNAVAILABLE, "^the server of connection 'cache-wrong' refuses the cre"):
        ask.redis("GET", "x", on="cache-wrong")


@pytest.mark.usefixtures("silent")
def test_silent_server_is_given_up(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 0.3)
    with ask.fails(Failure.UNAVAILABLE, "cannot be reached"):
        ask.redis("GET", "x", on="cache-silent", seconds=0.2)


def test_stopped_server_is_given_up(ask: Ask, store: Any):
    """The time counts from when the command is sent, while the server sleeps."""
    store.client_pause(1500, all=False)
    with ask.fails_with(Failure.TIMEOUT, words="in time"):
        ask.redis("SET", "mine", "1", on="cache-rw", seconds=0.3)
    store.client_unpause()


def test_option_in_the_address_is_refused_without_its_value(ask: Ask):
    with ask.fails(Failure.MISCONFIGURED, "no option called 'password' is allowed"):
        ask.redis("GET", "x", on="cache-odd")


def test_password_in_the_data_is_hidden(ask: Ask, store: Any):
    store.hset("leak", mapping={PASSWORD: f"a {PASSWORD} b"})
    answer = ask.redis("HGETALL", "leak")
    store.delete("leak")
    assert answer.value == ["<secret-hidden>", "a <secret-hidden> b"]


def _state(store: Any) -> object:
    return store.dbsize(), store.get("text"), store.get("number"), store.ttl("text")
