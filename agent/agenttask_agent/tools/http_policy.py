"""Which hosts HTTP operations may reach: none, until a list names them.

A task's list can only narrow its class's. An entry is `host`, `*.domain`, each with
`:port` where it is not the usual one; only a class's entry may begin with `private:`,
which lets that host have a private address. Loopback and metadata stay closed to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agenttask_agent.tools import validators
from agenttask_agent.tools.http_addresses import Resolver, pinned, resolve
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.validators import Target
from agenttask_api.httphosts import BadHost, HostEntry, parse_host

USUAL_PORTS = frozenset({80, 443})


@dataclass(frozen=True)
class HostPolicy:
    """Where requests may go, and how names become addresses."""

    rules: tuple[HostEntry, ...] = ()
    narrowing: tuple[HostEntry, ...] = ()
    """A URL must match one of these too, unless there are none."""
    resolver: Resolver = resolve
    exempt_addresses: frozenset[str] = field(default_factory=frozenset)
    """Addresses that count as public. For tests; no setting reaches it."""

    def addresses(self, target: Target) -> tuple[str, ...]:
        """Return the checked addresses to connect to, and to no others; raises Denied."""
        matching = [rule for rule in self.rules if matches(rule, target)]
        narrowed = not self.narrowing or any(matches(r, target) for r in self.narrowing)
        if not matching or not narrowed:
            raise Denied(f"the host {target.authority!r} is not on this task's list of HTTP hosts")
        private = any(rule.private for rule in matching)
        return pinned(
            target.host,
            target.port,
            self.resolver,
            private=private,
            exempt=self.exempt_addresses,
        )


def host_policy(task_hosts: Sequence[str], class_hosts: Sequence[str] | None = None) -> HostPolicy:
    """Return the policy of a run; raises ValueError naming a bad entry.

    With a class, its list is the outer wall and the task's narrows it. Without one
    (local mode, `class_hosts=None`) the task's list is all there is.
    """
    own = tuple(parse_rule(entry, private_allowed=False) for entry in task_hosts)
    if class_hosts is None:
        return HostPolicy(own)
    outer = tuple(parse_rule(entry, private_allowed=True) for entry in class_hosts)
    return HostPolicy(outer, own)


def matches(entry: HostEntry, target: Target) -> bool:
    """Say whether the entry names this URL's host and port."""
    if target.port != entry.port and (entry.port or target.port not in USUAL_PORTS):
        return False
    if entry.below:
        return target.host.endswith(f".{entry.host}")
    return target.host == entry.host


def parse_rule(entry: str, *, private_allowed: bool) -> HostEntry:
    """Return one entry of a list, its host spelt as in a Target; raises ValueError."""
    try:
        found = parse_host(entry)
        host = validators.host(found.host)
    except (BadHost, ToolError) as error:
        raise ValueError(f"httpHosts: {entry!r}: {error}") from None
    if found.private and not private_allowed:
        raise ValueError(f"httpHosts: {entry!r}: only an AgentClass may open private hosts")
    return replace(found, host=host)
