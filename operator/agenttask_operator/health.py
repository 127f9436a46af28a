"""Whether this process is well, and whether it is ready, from what can be seen of it.

Pure. Restarting helps against a part of us that has stopped, never against an API server
that is away: liveness asks whether we still try, readiness whether we still hear.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bounds:
    """What is still well; in seconds."""

    still: float = 180.0
    """A watch ends itself after 75 s of silence and is tried again within 30 s."""
    watch_age: float = 150.0
    """Bookmarks come every minute: an older picture is not one to answer for."""
    stuck: float = 300.0
    """A request takes 15 s at most, and a reconcile few of them."""
    lag: float = 5.0


USUAL = Bounds()


@dataclass(frozen=True)
class Vitals:
    """What can be seen of a process; ages are in seconds."""

    dead: tuple[str, ...] = ()
    """Background tasks that ended, though none ever should."""
    tried: Mapping[str, float] = field(default_factory=dict)
    """By watch: since it last heard, or at least asked again."""
    heard: Mapping[str, float | None] = field(default_factory=dict)
    """By watch: since the API server last said anything; None = never yet."""
    queue_age: float = 0.0
    """How long the oldest due key has waited."""
    quiet: float = 0.0
    """Since a worker last finished a key."""
    lag: float = 0.0
    """How late the event loop last came to a timer."""
    working: bool = False
    """Whether the workers were started: by the leader only."""
    replaced: bool = False
    """Whether we led and do so no longer."""


def ailment(vitals: Vitals, bounds: Bounds = USUAL) -> str:
    """Return why this process should be restarted; empty = it is well."""
    if vitals.dead:
        return f"stopped: {', '.join(vitals.dead)}"
    if vitals.replaced:
        return "another process leads"
    still = [name for name, age in vitals.tried.items() if age > bounds.still]
    if still:
        return f"these watches neither hear nor ask: {', '.join(still)}"
    if vitals.working and min(vitals.queue_age, vitals.quiet) > bounds.stuck:
        return f"the workers are stuck: a task waits for {vitals.queue_age:.0f} s"
    if vitals.lag > bounds.lag:
        return f"the event loop is {vitals.lag:.1f} s late"
    return ""


def unreadiness(vitals: Vitals, bounds: Bounds = USUAL) -> str:
    """Return why this process could not act now; empty = it could. A standby is ready."""
    ill = ailment(vitals, bounds)
    if ill:
        return ill
    new = [name for name, age in vitals.heard.items() if age is None]
    if new:
        return f"not listed yet: {', '.join(new)}"
    old = [n for n, age in vitals.heard.items() if age and age > bounds.watch_age]
    if old:
        return f"the API server has not been heard of for too long: {', '.join(old)}"
    return ""
