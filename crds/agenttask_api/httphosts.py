"""Entries of `httpHosts`, and what a task's and its class's entry allow together.

An entry is `host`, `*.domain` or an address, each with `:port` where it is not the
usual one; `private:` before it, which only a class may write, opens a private
address. Of two entries either one is within the other, or they have nothing common,
so what both allow is again one entry.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

PRIVATE = "private:"
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_ENTRY = re.compile(
    rf"(?P<private>{PRIVATE})?(?P<below>\*\.)?"
    rf"(?P<host>{_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])"
    r"(:(?P<port>[1-9][0-9]{0,4}))?",
    re.IGNORECASE,
)


class BadHost(ValueError):
    """An entry that names no host."""


@dataclass(frozen=True)
class HostEntry:
    """One entry, taken apart."""

    host: str
    below: bool = False
    """Any name below `host`, and not `host` itself."""
    port: int | None = None
    """None = 80 and 443."""
    private: bool = False

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{PRIVATE if self.private else ''}{'*.' if self.below else ''}{self.host}{port}"


def parse_host(text: str) -> HostEntry:
    """Return the entry taken apart; raises BadHost."""
    found = _ENTRY.fullmatch(text)
    if not found or int(found["port"] or 1) > 65535:
        raise BadHost(f"{text!r} is not a host like example.org, *.example.org or example.org:8080")
    port = int(found["port"]) if found["port"] else None
    return HostEntry(found["host"].lower(), bool(found["below"]), port, bool(found["private"]))


def common(asked: HostEntry, allowed: Iterable[HostEntry]) -> tuple[HostEntry, ...]:
    """Return what a task's entry and the class's entries allow together."""
    return tuple(both for entry in allowed if (both := _both(asked, entry)))


def _both(asked: HostEntry, allowed: HostEntry) -> HostEntry | None:
    narrower = next((e for e, o in ((asked, allowed), (allowed, asked)) if _within(e, o)), None)
    ports = {asked.port, allowed.port}
    if narrower is None or (len(ports) > 1 and not ports <= {None, 80, 443}) or ports == {80, 443}:
        return None
    port = next((p for p in ports if p), None)
    return HostEntry(narrower.host, narrower.below, port, allowed.private)


def _within(one: HostEntry, other: HostEntry) -> bool:
    """Say whether every name that one entry means is meant by the other, ports aside."""
    if one.below == other.below and one.host == other.host:
        return True
    return other.below and one.host.endswith(f".{other.host}")
