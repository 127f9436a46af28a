"""Which addresses a request may go to: public ones, and no others.

Checked is what a name resolves to, not how it is spelled, so every spelling of
loopback ends here. IPv6 forms that carry an IPv4 address are judged by what they
carry, or refused where no resolver of today answers with them.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence

from agenttask_agent.tools.refusal import Denied, ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""Returns all addresses of a host; raises OSError when there are none."""


def _networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
MAPPED, NAT64 = ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96")
RESERVED = _networks(
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
PRIVATE = _networks("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
"""What `private:` may open: where platforms keep registries. Nothing local, no metadata."""
METADATA = _networks(
    *("169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
    *("fd00:ec2::/32", "fd20:ce::254/128", "fe80::/10"),
)
"""Services of clouds that give out credentials; two look like public or private addresses."""


def resolve(host: str, port: int) -> list[str]:
    """Return all addresses the system's resolver knows."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def pinned(
    host: str, port: int, resolver: Resolver, *, private: bool, exempt: frozenset[str]
) -> tuple[str, ...]:
    """Resolve once and return the addresses to connect to; every one must be allowed."""
    try:
        answers = list(resolver(host, port))
    except (OSError, UnicodeError):
        raise ToolError(f"{host!r} cannot be resolved") from None
    if not answers:
        raise ToolError(f"{host!r} has no address")
    for answer in answers:
        if not is_allowed(answer, private=private, exempt=exempt):
            raise Denied(f"{host!r} is not a public host; requests do not go there")
    return tuple(answers)


def is_allowed(text: str, *, private: bool = False, exempt: frozenset[str] = frozenset()) -> bool:
    """Say whether a request may go to an address."""
    if text in exempt:
        return True
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    plain = _carried(address)
    if _is_in(plain, METADATA):
        return False
    return is_public(plain) or (private and _is_in(plain, PRIVATE))


def is_public(address: Address) -> bool:
    """Say whether the address belongs to the public internet."""
    if address.version == 6 and address not in GLOBAL_V6:
        return False
    return address.is_global and not address.is_multicast and not _is_in(address, RESERVED)


def _carried(address: Address) -> Address:
    """Return the IPv4 address inside a mapped or NAT64 one; other forms stay refused."""
    if address.version == 6 and (address in MAPPED or address in NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_in(
    address: Address, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    return any(n.version == address.version and address in n for n in networks)
