"""What two entries of `httpHosts` allow together is again one entry, or nothing."""

import pytest

from agenttask_api.httphosts import BadHost, common, parse_host


@pytest.mark.parametrize(
    ("asked", "allowed", "both"),
    [
        ("a.org", "a.org", "a.org"),
        ("A.org", "a.ORG", "a.org"),
        ("a.org", "b.org", None),
        ("api.a.org", "*.a.org", "api.a.org"),
        ("a.org", "*.a.org", None),
        ("bada.org", "*.a.org", None),
        ("*.a.org", "api.a.org", "api.a.org"),
        ("*.a.org", "a.org", None),
        ("*.x.a.org", "*.a.org", "*.x.a.org"),
        ("*.a.org", "*.x.a.org", "*.x.a.org"),
        ("*.a.org", "*.a.org", "*.a.org"),
        ("a.org:8443", "a.org", None),
        ("a.org", "a.org:8443", None),
        ("a.org:443", "a.org", "a.org:443"),
        ("a.org", "*.org:80", "a.org:80"),
        ("a.org:80", "a.org:443", None),
        ("a.org:8443", "*.org:8443", "a.org:8443"),
        ("a.org", "private:a.org", "private:a.org"),
        ("*.corp:5000", "private:hub.corp:5000", "private:hub.corp:5000"),
        ("[::1]:80", "[::1]", "[::1]:80"),
    ],
)
def test_two_entries(asked: str, allowed: str, both: str | None) -> None:
    found = common(parse_host(asked), [parse_host(allowed)])
    assert [str(entry) for entry in found] == ([both] if both else [])


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.", "http://a.org", "a.org/x", "a.org:", "a.org:0", "a.org:65536", "a..org",
     "a@b.org", "-a.org", "a b", "*.*.org", "a.*.org", "private:", "private:private:a", "a.org\n"],
)  # fmt: skip
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(BadHost, match="is not a host"):
        parse_host(text)
