"""Hostile arguments for the http family, against a real server that misbehaves too."""

from collections.abc import Iterator

import pytest
from tests.agent.arguments import anything, fitting
from tests.agent.feeding import feed
from tests.agent.surroundings import Surroundings, surroundings
from tests.agent.web import LIMITS, LOCAL, PATHS, Names, Web, client, web

from agenttask_agent.tools import http
from agenttask_agent.tools.http_exchange import HttpLimits

SECRET = "hunter2-hunter2"
BAD_HOSTS = ("localhost", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0", "bad.example")
REQUEST_WORDS = {
    "headers keys": ("Host", "X-One", "Authorization", "Content-Length", "a b", "x\r\nY"),
    "headers": ("1", "a\r\nX: y", "\x00", "\u00e9", SECRET),
    "params keys": ("a", "b=c&d", "\u00e9", SECRET),
    "params": ("1", "&", "\r\n", SECRET),
    "data": ("", "a=b", "x" * 10_001, SECRET),
    "*": ("x",),
}


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[Surroundings, Web]]:
    """The workspace's surroundings, and a server that they may ask."""
    with surroundings(catalogue=http.OPERATIONS) as made, web() as server:
        limits = HttpLimits(LIMITS.request_bytes, LIMITS.response_bytes, seconds=0.3)
        names = Names(
            {LOCAL: [[LOCAL]], "good.example": [[LOCAL]], "bad.example": [["169.254.169.254"]]}
        )
        hosts = ("good.example", "bad.example")
        asking = client(server, *hosts, resolver=names, limits=limits, secrets=(SECRET,))
        made.equip(http=asking)
        server.redirect_to = "http://169.254.169.254/"
        yield made, server


@pytest.mark.parametrize("operation", http.OPERATIONS, ids=lambda operation: operation.key)
def test_requests(operation, outside: tuple[Surroundings, Web]):
    made, server = outside
    quick = [path for path in PATHS if "drip" not in path]
    urls = [server.url(path) for path in (*quick, "/", "/?a=1#b", "/drip")]
    urls += [server.url("/", host=host) for host in ("good.example", *BAD_HOSTS)]
    urls += [
        f"http://{LOCAL}:{server.port}@169.254.169.254/",
        f"http://{LOCAL}\\@x/",
        "file:///etc/x",
    ]
    urls += [server.url(f"/{SECRET}"), server.url("/\r\nX: y"), server.url("/\ud800"), "http://["]
    server.seen.clear()
    feed(
        made, operation.key, fitting(operation, REQUEST_WORDS | {"url": urls}) | anything(operation)
    )
    assert server.seen, "some were good"
    addressed = {seen.headers["host"] for seen in server.seen}
    assert addressed <= {f"{host}:{server.port}" for host in (LOCAL, "good.example")}
    sent = "".join(f"{seen.path}{seen.headers}{seen.body!r}" for seen in server.seen)
    assert SECRET not in sent
