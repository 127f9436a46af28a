"""Sizes, times and secrets: what a request and an answer may not be."""

import time
import tracemalloc

import pytest
from tests.agent.web import ENDLESS, ask, client, server, within

__all__ = ["ask", "server"]  # the fixtures
SECRET = "hunter2-hunter2"


def test_an_answer_without_end_is_cut_and_no_more_is_read(ask, server):
    result = ask("get", server.url("/endless"))
    assert result.ok
    assert result.truncated
    assert result.metadata["bytes"] == 10_000
    assert server.sent < ENDLESS / 2


def test_a_packed_bomb_is_cut(ask, server):
    tracemalloc.start()
    try:
        result = ask("get", server.url("/bomb"))
        assert tracemalloc.get_traced_memory()[1] < ENDLESS / 5
    finally:
        tracemalloc.stop()
    assert (result.truncated, result.metadata["bytes"]) == (True, 10_000)


@pytest.mark.parametrize("path", ["/drip", "/drip-headers"])
def test_a_server_that_drips_does_not_hold_the_run(ask, server, path):
    started = time.monotonic()
    result = ask("get", server.url(path))
    assert within(6, started)
    assert "did not answer in time" in str(result.error)


@pytest.mark.parametrize("path", ["/nonsense", "/broken", "/brotli"])
def test_an_answer_that_is_not_understood_is_an_error(ask, server, path):
    result = ask("get", server.url(path))
    assert (result.ok, result.denied) == (False, False)
    assert "internal error" not in str(result.error)


def test_a_packed_answer_is_unpacked(ask, server):
    assert ask("get", server.url("/gzip")).output.endswith("packed")


def test_a_closed_port_is_an_error(ask, server):
    unused = client(server)
    server.server_close()
    server.shutdown()
    assert "refused" in str(ask("get", server.url(), client=unused).error).lower()


def test_a_body_has_a_limit(ask, server):
    assert ask("post", server.url(), data="x" * 10_000).ok
    assert ask("post", server.url(), data="x" * 10_001).denied
    assert ask("post", server.url(), json={"a": "x" * 10_000}).denied
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"params": {"q": SECRET}},
        {"headers": {"Authorization": f"Bearer {SECRET}"}},
        {"headers": {"Authorization": "Basic dXNlcjpodW50ZXIyLWh1bnRlcjI="}},
        {"data": f"x={SECRET}"},
        {"json": {"a": {"b": [SECRET]}}},
        {"json": {SECRET: 1}},
        {"data": "aHVudGVyMi1odW50ZXIy"},
        {"path": f"/{SECRET}"},
        {"path": "/%68unter2-hunter2"},
    ],
    ids=lambda arguments: str(arguments),
)
def test_a_request_with_a_secret_is_not_sent(ask, server, arguments):
    url = server.url(arguments.get("path", "/"))
    rest = {k: v for k, v in arguments.items() if k != "path"}
    result = ask("post", url, client=client(server, secrets=(SECRET,)), **rest)
    assert result.denied
    assert SECRET not in str(result.error)
    assert server.seen == []
