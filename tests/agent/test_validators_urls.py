"""Paths and URLs that models write: odd but valid ones pass, hostile ones do not."""

import pytest

from agenttask_agent.tools import validators
from agenttask_agent.tools.refusal import Denied, ToolError


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (".", "."),
        ("a/b.txt", "a/b.txt"),
        ("./a//b", "a/b"),
        ("-rf", "-rf"),
        ("...", "..."),
        ("a b\tc", "a b\tc"),
        (".github/x", ".github/x"),
        ("\u00fc/\u4e2d", "\u00fc/\u4e2d"),
    ],
)
def test_path_keeps_odd_names(value, plain):
    assert validators.path(value) == plain


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "..", "a/../../b", "a\0b", ".git/config", "x/.GIT/hooks", "\ud800"]
)
def test_path_refuses_what_leads_out(value):
    with pytest.raises(ToolError):
        validators.path(value)


@pytest.mark.parametrize(
    ("value", "host", "port", "path"),
    [
        ("http://example.com", "example.com", 80, "/"),
        ("https://EXAMPLE.com./a?b=c#d", "example.com", 443, "/a?b=c"),
        ("HTTPS://example.com:8443/", "example.com", 8443, "/"),
        ("http://a_b.example/%2e", "a_b.example", 80, "/%2e"),
        ("http://xn--bcher-kva.example/", "xn--bcher-kva.example", 80, "/"),
        ("http://93.184.216.34:81/", "93.184.216.34", 81, "/"),
        ("http://[2606:2800:220:1::1]:81/x", "2606:2800:220:1::1", 81, "/x"),
        ("http://[2606:2800:0220:0001:0:0:0:1]/", "2606:2800:220:1::1", 80, "/"),
        ("http://localhost/", "localhost", 80, "/"),
        ("http://a?b", "a", 80, "/?b"),
        ("http://1and1.com/", "1and1.com", 80, "/"),
    ],
)
def test_url_is_taken_apart(value, host, port, path):
    target = validators.url(value)
    assert (target.host, target.port, target.path) == (host, port, path)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "example.com",
        "//example.com",
        "http:example.com",
        "http:/example.com",
        "http://",
        "http:///x",
        "ftp://example.com",
        "file:///etc/passwd",
        "gopher://example.com",
        "javascript:alert(1)",
        "http://user@example.com",
        "http://user:pw@example.com",
        "http://@example.com",
        "http://allowed.example@evil.example/",
        "http://exa mple.com",
        "http://example.com\r\nX: y",
        "http://example.com/\0",
        "http://example.com\\@evil.example",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://ex\u00e4mple.com/",
        "http://%31%32%37.0.0.1/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:x/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.1.5/",
        "http://0/",
        "http://a.0x7f/",
        "http://256.256.256.256/",
        "http://[::1",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[v1.x]/",
        "http://-a.example/",
        "http://a..example/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "example/",
        "http://example.com/" + "a" * 2048,
    ],
)
def test_url_refuses_other_spellings_and_schemes(value):
    with pytest.raises(ToolError):
        validators.url(value)


@pytest.mark.parametrize(
    "value",
    [
        "https://github.com/vercel/next.js.git",
        "https://git.example:8443/team/repo",
        "https://robot@git.example/repo.git",
        "https://git.example/a/b/c/d.e.f",
        "ssh://git@git.example:2222/repo.git",
        "git@github.com:team/repo.git",
        "git@git-host.example:~/repo",
        "https://[2606:2800::1]/repo",
    ],
)
def test_git_url_takes_what_git_takes(value):
    assert validators.git_url(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "ext::sh -c id",
        "--upload-pack=id",
        "file:///etc",
        "/local/path",
        "http://git.example/repo",
        "git://git.example/repo",
        "https://user:pw@git.example/repo",
        "ssh://-oProxyCommand=id/repo",
        "ssh://-x@git.example/repo",
        "git@-oProxyCommand=id:repo",
        "git@git.example:-x",
        "git@git.example:a b",
        "-u@git.example:repo",
        "https://git.example",
        "https://git.example/a\nb",
        "https://127.1/repo",
        "git@x:" + "a" * 2048,
    ],
)
def test_git_url_refuses_programs_and_passwords(value):
    with pytest.raises(ToolError):
        validators.git_url(value)


def test_credentials_in_a_url_are_denied_and_not_only_wrong():
    with pytest.raises(Denied):
        validators.url("https://user:pw@example.com/")
