"""Which hosts HTTP operations may reach: none, until a list names them.

A task's list can only narrow its class's. An entry is `host`, `*.domain`, each with
`:port` where it is not the usual one; only a class's entry may begin with `private:`,
which lets that host have a private address. Loopback and metadata stay closed to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agenttask_agent.tools import validators
from agenttask_agent.tools.http_addresses import Resolver, pinned, resolve
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.validators import Target

PRIVATE = "private:"
USUAL_PORTS = frozenset({80, 443})


@dataclass(frozen=True)
class HostRule:
    """One entry of an allow-list."""

    host: str
    below: bool = False
    """Any name below `host`, and not `host` itself."""
    port: int | None = None
    """None = 80 and 443."""
    private: bool = False

    def matches(self, target: Target) -> bool:
        """Say whether the entry names this URL's host and port."""
        if target.port != self.port and (self.port or target.port not in USUAL_PORTS):
            return False
        if self.below:
            return target.host.endswith(f".{self.host}")
        return target.host == self.host


@dataclass(frozen=True)
class HostPolicy:
    """Where requests may go, and how names become addresses."""

    rules: tuple[HostRule, ...] = ()
    narrowing: tuple[HostRule, ...] = ()
    """A URL must match one of these too, unless there are none."""
    resolver: Resolver = resolve
    exempt_addresses: frozenset[str] = field(default_factory=frozenset)
    """Addresses that count as public. For tests; no setting reaches it."""

    def addresses(self, target: Target) -> tuple[str, ...]:
        """Return the checked addresses to connect to, and to no others; raises Denied."""
        matching = [rule for rule in self.rules if rule.matches(target)]
        narrowed = not self.narrowing or any(r.matches(target) for r in self.narrowing)
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


def parse_rule(entry: str, *, private_allowed: bool) -> HostRule:
    """Return one entry of a list; raises ValueError."""
    private = entry.startswith(PRIVATE)
    if private and not private_allowed:
        raise ValueError(f"httpHosts: {entry!r}: only an AgentClass may open private hosts")
    name = entry.removeprefix(PRIVATE)
    below = name.startswith("*.")
    try:
        target = validators.url(f"http://{name.removeprefix('*.')}")
    except ToolError as error:
        raise ValueError(f"httpHosts: {entry!r}: {error}") from None
    has_port = name.rpartition("]")[2].rpartition(":")[1] == ":"
    if target.path != "/" or "/" in name or "#" in name:
        raise ValueError(f"httpHosts: {entry!r} is not a host")
    return HostRule(target.host, below, target.port if has_port else None, private)
