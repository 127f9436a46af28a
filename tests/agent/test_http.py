"""The seven http operations against a real server, good and hostile."""

import json
import ssl
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.web import LOCAL, Names, ask, client, names, server, web, with_client
from tests.servers.certs import Certificates, make_certificates

from agenttask_agent.results import ToolResult
from agenttask_agent.tools import http

__all__ = ["ask", "server"]  # the fixtures
METHODS = ["get", "head", "post", "put", "patch", "delete"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("web-certs"))


def body_of(result: ToolResult) -> dict[str, str]:
    found: dict[str, str] = json.loads(result.output.partition("\n\n")[2])
    return found


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_sent(ask, server, method):
    result = ask(method, server.url("/x?a=1"), params={"q": "a b&c"}, headers={"X-One": "1"})
    assert result.ok, result.error
    assert result.output.startswith("HTTP 200")
    seen = server.seen[-1]
    assert (seen.method, seen.path) == (method.upper(), "/x?a=1&q=a+b%26c")
    assert seen.headers["host"] == f"{LOCAL}:{server.port}"
    assert seen.headers["x-one"] == "1"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_bodies_are_sent_as_json_or_as_they_are(ask, server, method):
    assert ask(method, server.url(), json={"a": [1, None, "\u00fc"]}).ok
    assert json.loads(server.seen[-1].body) == {"a": [1, None, "\u00fc"]}
    assert server.seen[-1].headers["content-type"] == "application/json"
    assert ask(method, server.url(), data="a=\u4e2d", headers={"content-type": "x/y"}).ok
    assert server.seen[-1].body.decode() == "a=\u4e2d"
    assert server.seen[-1].headers["content-type"] == "x/y"


@pytest.mark.parametrize("method", [*map(str.upper, METHODS), "OPTIONS"])
def test_request_sends_any_method(ask, server, method):
    assert ask("request", server.url(), method=method).ok
    assert server.seen[-1].method == method


@pytest.mark.parametrize("operation", [*METHODS, "request"])
def test_a_failing_answer_is_a_failed_result_with_its_text(ask, server, operation):
    extra = {"method": "GET"} if operation == "request" else {}
    result = ask(operation, server.url("/missing"), **extra)
    assert (result.ok, result.denied) == (False, False)
    assert result.error == "the server answered 404"
    assert operation == "head" or "not here" in result.output
    assert result.metadata["status"] == 404


@pytest.mark.parametrize("operation", [*METHODS, "request"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"url": "http://169.254.169.254/latest/meta-data/"},
        {"url": "http://localhost:{port}/"},
        {"url": "http://2130706433:{port}/"},
        {"url": "http://127.1:{port}/"},
        {"url": "http://[::ffff:127.0.0.1]:{port}/"},
        {"url": "http://[::1]:{port}/"},
        {"url": "file:///etc/passwd"},
        {"url": "http://{host}:{port}@169.254.169.254/"},
        {"url": "http://{host}:{port}/", "headers": {"Host": "evil.example"}},
        {"url": "http://{host}:{port}/", "headers": {"transfer-encoding": "chunked"}},
        {"url": "http://{host}:{port}/", "headers": {"X": "a\r\nY: b"}},
        {"url": "http://{host}:{port}/", "headers": {"X Y": "a"}},
        {"url": "http://{host}:{port}/\r\nX: y"},
    ],
    ids=lambda arguments: str(arguments),
)
def test_hostile_arguments_reach_nobody(ask, server, operation, arguments):
    url = arguments["url"].replace("{port}", str(server.port)).replace("{host}", LOCAL)
    extra = {"method": "GET"} if operation == "request" else {}
    result = ask(operation, url, **{k: v for k, v in arguments.items() if k != "url"}, **extra)
    assert not result.ok
    assert server.seen == []


@pytest.mark.parametrize(
    "arguments",
    [{"url": 1}, {}, {"url": "http://x/", "timeout": 9999}, {"url": "http://x/", "auth": ["a"]},
     {"url": "http://x/", "json": {}, "data": ""}, {"url": "http://x/", "json": [1]},
     {"url": "http://x/", "headers": {"a": 1}}, {"url": "http://x/", "headers": [["a", "b"]]},
     {"url": "http://x/", "params": {f"p{i}": "" for i in range(65)}}],
)  # fmt: skip
def test_arguments_of_a_wrong_shape_are_explained(ask, arguments, server):
    result = ask("post", **arguments)
    assert "wrong arguments" in str(result.error)
    assert server.seen == []


def test_loopback_is_closed_unless_the_constructor_opened_it(ask, server):
    result = ask("get", server.url(), client=client(server, exempt=False))
    assert result.denied
    assert server.seen == []


@pytest.mark.parametrize("flag", [True, False])
def test_a_listed_name_that_means_loopback_is_refused(ask, server, flag):
    resolver = names(api_example=LOCAL)
    strict = client(server, "api.example", resolver=resolver, exempt=False, private=flag)
    assert ask("get", server.url(host="api.example"), client=strict).denied
    assert server.seen == []


def test_a_rebinding_name_is_asked_once_and_the_checked_address_is_used(ask, server):
    resolver = Names({"api.example": [[LOCAL], ["169.254.169.254"]]})
    result = ask(
        "get",
        server.url(host="api.example"),
        client=client(server, "api.example", resolver=resolver),
    )
    assert result.ok, result.error
    assert resolver.asked == ["api.example"]
    assert server.seen[-1].headers["host"] == f"api.example:{server.port}"


def test_a_redirect_to_a_name_that_has_turned_is_refused(ask, server):
    resolver = Names({"api.example": [[LOCAL], ["169.254.169.254"]]})
    server.redirect_to = server.url("/second", host="api.example")
    turning = client(server, "api.example", resolver=resolver)
    assert ask("get", server.url("/redirect", host="api.example"), client=turning).denied
    assert [seen.path for seen in server.seen] == ["/redirect"]


@pytest.mark.parametrize(
    "target",
    ["http://169.254.169.254/latest/", "http://localhost/", "http://2130706433/", "file:///etc/hosts",
     "http://[::1]/", "//169.254.169.254/", "http://other.example/", "http://u:p@127.0.0.1/",
     "gopher://127.0.0.1/", "http://127.0.0.1:1/"],
)  # fmt: skip
def test_a_redirect_is_checked_like_a_first_request(ask, server, target):
    server.redirect_to = target
    result = ask("get", server.url("/redirect"))
    assert not result.ok
    assert "disconnected" not in str(result.error)
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_good_redirect_is_followed(ask, server, status):
    server.redirect_to = "/second?x=1"
    result = ask("get", server.url(f"/redirect?status={status}"), headers={"X-Token": "mine"})
    assert result.ok, result.error
    assert body_of(result)["path"] == "/second?x=1"
    assert server.seen[-1].headers["x-token"] == "mine"
    assert result.metadata["redirects"] == 1


def test_headers_do_not_cross_origins(ask, server):
    server.redirect_to = server.url("/second", host="b.example")
    both = client(
        server, "a.example", "b.example", resolver=names(a_example=LOCAL, b_example=LOCAL)
    )
    url = server.url("/redirect", host="a.example")
    assert ask("get", url, client=both, headers={"Authorization": "Bearer x"}).ok
    first, second = server.seen
    assert first.headers["authorization"] == "Bearer x"
    assert "authorization" not in second.headers


def test_redirects_end(ask, server):
    server.redirect_to = "/redirect"
    assert "redirects" in str(ask("get", server.url("/redirect")).error)
    assert len(server.seen) == 4


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_what_changes_something_follows_no_redirect(ask, server, method):
    server.redirect_to = "/second"
    result = ask(method, server.url("/redirect"), data="x")
    assert result.metadata["status"] == 302
    assert "location: /second" in result.output
    assert len(server.seen) == 1


def test_secret_headers_of_an_answer_are_hidden_and_text_is_made_harmless(ask, server):
    result = ask("get", server.url("/cookie"))
    assert "very-secret" not in result.output
    assert "set-cookie: (hidden)" in result.output
    assert "x-extra: shown" in result.output
    assert "\x1b" not in result.output


def test_binary_content_is_named_and_not_shown(ask, server):
    assert "binary content: 6 bytes" in ask("get", server.url("/binary")).output


def test_credentials_do_not_get_into_the_audit(make_tools: MakeTools, server):
    """Ones that the model has from somewhere else: no list of known values has them."""
    tools = with_client(make_tools(role=None, catalogue=http.OPERATIONS), client(server))
    words = [f"credential-{number}" for number in range(9)]
    tools(
        "http.post",
        url=f"http://me:{words[0]}@{LOCAL}:{server.port}/x?a=1&access_token={words[1]}&author=Ada#end",
        params={"api_key": words[2], "q": "seen"},
        headers={"PRIVATE-TOKEN": words[3], "X-Vault-Token": words[4], "Accept": "seen/x"},
        json={"user": "Ada", "login": {"password": words[5], "kept": "seen"}},
    )
    url = server.url()
    tools("http.post", url=url, data=f"client_id=seen&client_secret={words[6]}")
    tools("http.post", url=url, data=f'{{"token": "{words[7]}", "keyboard": "seen"}}')
    tools("http.get", url=url, headers={"Cookie": words[8]})
    assert len(server.seen) == 3
    kept = tools.audit.path.read_text()
    assert not [word for word in words if word in kept]
    assert kept.count("seen") == 5
    assert "author=Ada#end" in kept


def test_a_reading_request_cannot_be_made_to_write(ask, server):
    for name in ("X-HTTP-Method-Override", "x-method-override", "X-HTTP-Method"):
        assert ask("get", server.url(), headers={name: "DELETE"}).denied
    assert server.seen == []


def test_tls_checks_the_name_that_was_asked_for(ask, certificates: Certificates):
    trusting = ssl.create_default_context(cafile=certificates.ca)
    with web(certificates) as server:
        resolver = names(localhost=LOCAL, other_example=LOCAL)
        hosts = ("localhost", "other.example")
        tls = client(server, *hosts, resolver=resolver, tls=trusting)
        good = ask("get", f"https://localhost:{server.port}/", client=tls)
        assert good.ok, good.error
        bad = ask("get", f"https://other.example:{server.port}/", client=tls)
        assert "certificate verify failed" in str(bad.error)
        unknown = client(server, *hosts, resolver=resolver)
        assert "certificate verify failed" in str(
            ask("get", f"https://localhost:{server.port}/", client=unknown).error
        )
        assert [seen.headers["host"] for seen in server.seen] == [f"localhost:{server.port}"]


def test_no_proxy_of_the_environment_is_asked(ask, server, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask("get", server.url()).ok


def test_without_a_client_the_family_says_so(make_tools: MakeTools):
    tools = make_tools(role=None, catalogue=http.OPERATIONS)
    assert "not available" in str(tools("http.get", url="http://example.com/").error)


def test_only_get_and_head_belong_to_a_read_only_run():
    assert [o.name for o in http.OPERATIONS if o.read_only] == ["get", "head"]
    assert len(http.OPERATIONS) == 7
    assert Path(http.__file__).name == "http.py"
