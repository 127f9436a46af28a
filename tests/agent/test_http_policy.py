"""Where requests may go: addresses, names and lists."""

import pytest
from tests.agent.web import Names, names

from agenttask_agent.tools import validators
from agenttask_agent.tools.http_addresses import is_allowed, pinned
from agenttask_agent.tools.http_policy import HostPolicy, host_policy, parse_rule
from agenttask_agent.tools.http_secrets import SecretScan
from agenttask_agent.tools.refusal import Denied, ToolError

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "8.8.8.8", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_allowed(address):
    assert is_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.0.0.2", "127.255.255.255", "0.0.0.0", "0.1.2.3"),
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "10.96.0.1"),
        *("169.254.169.254", "169.254.1.1", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
        *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
        *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254"),
        *("fd20:ce::254", "ff02::1", "2001:db8::1", "3fff::1", "5f00::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1"),
        *("::127.0.0.1", "::7f00:1", "::ffff:7f00:1"),
        *("64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808"),
        *("2002:7f00:1::", "2002:0a00:0001::1", "2002:808:808::1", "2001:0:7f00:1::"),
        *("2001::1", "2001:20::1", "::5efe:127.0.0.1"),
        *("", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.1.1.1/32"),
    ],
)
def test_everything_else_is_not(address):
    assert not is_allowed(address)


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.1", "100.64.0.9", "fd12::1"])
def test_private_addresses_need_the_flag(address):
    assert is_allowed(address, private=True)
    assert not is_allowed(address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16",
     "::ffff:127.0.0.1", "0.0.0.0", "224.0.0.1", "fe80::1", "64:ff9b::7f00:1"],
)  # fmt: skip
def test_the_flag_opens_neither_loopback_nor_metadata(address):
    assert not is_allowed(address, private=True)


@pytest.mark.parametrize("bad", ["127.0.0.1", "10.0.0.1", "::1", "garbage"])
@pytest.mark.parametrize("first", [True, False])
def test_every_address_of_a_name_is_checked(bad, first):
    answers = [bad, PUBLIC] if first else [PUBLIC, bad]
    with pytest.raises(Denied):
        pinned("a.example", 80, lambda _host, _port: answers, private=False, exempt=frozenset())


@pytest.mark.parametrize("answers", [None, []])
def test_a_name_without_address_is_an_error(answers):
    def resolver(_host, _port):
        if answers is None:
            raise OSError("no such name")
        return answers

    with pytest.raises(ToolError):
        pinned("a.example", 80, resolver, private=False, exempt=frozenset())


def addresses(policy: HostPolicy, url: str) -> tuple[str, ...]:
    return policy.addresses(validators.url(url))


def listed(*task: str, outer: list[str] | None = None, **known: str) -> HostPolicy:
    policy = host_policy(task, outer)
    return HostPolicy(policy.rules, policy.narrowing, names(**known))


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("api.example", "https://api.example/x"),
        ("api.example", "http://API.example.:80/"),
        ("API.example", "https://api.example"),
        ("api.example:8443", "https://api.example:8443/"),
        ("*.example", "https://api.example/"),
        ("*.example:81", "http://a.api.example:81/"),
    ],
)
def test_a_listed_host_is_reachable(entry, url):
    policy = listed(entry, api_example=PUBLIC, a_api_example=PUBLIC)
    assert addresses(policy, url) == (PUBLIC,)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("api.example", "https://other.example/"),
        ("api.example", "https://api.example:8443/"),
        ("api.example", "https://xapi.example/"),
        ("api.example", "https://api.example.evil.example/"),
        ("api.example:8443", "https://api.example/"),
        ("*.example", "https://example/"),
        ("*.example", "https://evilexample/"),
        ("127.0.0.1", "http://127.0.0.1/"),
        ("169.254.169.254", "http://169.254.169.254/latest/meta-data"),
    ],
)
def test_what_is_not_listed_or_not_public_is_denied(entry, url):
    with pytest.raises(Denied):
        addresses(HostPolicy(host_policy([entry]).rules, (), lambda host, _: [host]), url)


def test_nothing_is_reachable_by_default():
    for policy in (HostPolicy(), host_policy(()), host_policy((), ()), host_policy(["a.b"], ())):
        with pytest.raises(Denied):
            addresses(policy, "https://a.b/")


def test_a_name_that_is_not_listed_is_not_even_looked_up():
    resolver = Names()
    with pytest.raises(Denied):
        addresses(HostPolicy((), (), resolver), "https://dropbox-of-data.example/")
    assert resolver.asked == []


def test_a_task_narrows_its_class_and_never_widens_it():
    known = {"a_example": PUBLIC, "b_example": PUBLIC, "c_example": PUBLIC}
    policy = listed("a.example", "c.example", outer=["a.example", "b.example"], **known)
    assert addresses(policy, "https://a.example/") == (PUBLIC,)
    for url in ("https://b.example/", "https://c.example/"):
        with pytest.raises(Denied):
            addresses(policy, url)
    everything = listed(outer=["a.example", "b.example"], **known)
    assert addresses(everything, "https://b.example/") == (PUBLIC,)


def test_only_a_class_opens_a_private_host_and_only_the_one_it_names():
    outer = ["private:registry.corp:5000", "*.corp:5000"]
    policy = listed(outer=outer, registry_corp="10.0.0.5", other_corp="10.0.0.6")
    assert addresses(policy, "https://registry.corp:5000/v2/") == ("10.0.0.5",)
    with pytest.raises(Denied):
        addresses(policy, "https://other.corp:5000/")
    with pytest.raises(ValueError, match="only an AgentClass"):
        host_policy(["private:registry.corp"], outer)
    with pytest.raises(ValueError, match="only an AgentClass"):
        host_policy(["private:registry.corp"])


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.", "a.*.b", "http://a.example", "a.example/x", "a b", "127.1", "user@a.example",
     "a.example:0", "a.example:x", "private:private:a", "*.*.a", "a?b", "a#b", "0x7f000001"],
)  # fmt: skip
def test_an_entry_that_is_no_host_is_refused_by_name(entry):
    with pytest.raises(ValueError, match="httpHosts"):
        parse_rule(entry, private_allowed=True)


SECRET = "s3cr3t-Value+/=1"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"x{SECRET}y",
        "s3cr3t-Value%2B%2F%3D1",
        "s3cr3t-Value%252B%252F%253D1",
        "%73%33cr3t-Value%2B/=1",
        '{"a": "\\u00733cr3t-Value\\u002B/=1"}',
        SECRET.upper(),
        SECRET[::-1],
        SECRET.encode().hex(),
        "czNjcjN0LVZhbHVlKy89MQ==",
        "Basic dXNlcjpzM2NyM3QtVmFsdWUrLz0x",
        "eHM0cjN0",
    ][:-1],
)
def test_a_secret_is_found_in_every_usual_encoding(text):
    assert SecretScan([SECRET]).finds("harmless", text)


@pytest.mark.parametrize("before", ["", "u:", "me:", "abc:", "\u00fc:"])
def test_a_secret_is_found_wherever_it_lies_in_base64(before):
    import base64

    encoded = base64.b64encode(f"{before}{SECRET}\u4e2d".encode())
    assert SecretScan([SECRET]).finds(encoded.decode())
    url_safe = base64.urlsafe_b64encode(f"{before}{SECRET}>>>".encode())
    assert SecretScan([SECRET]).finds(url_safe.decode())


def test_ordinary_text_holds_no_secret():
    assert not SecretScan([SECRET, "short", ""]).finds("ordinary", "short", "")
    assert not SecretScan().finds(SECRET)
