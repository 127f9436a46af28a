"""Operators that suffer side by side, each its own trouble, and what was seen of each."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from tests.chaos.ends import expected_ends, terminal_events
from tests.chaos.faults import Trouble
from tests.chaos.stage import DRAIN_SECONDS, Stage
from tests.e2e.tasks import eventually
from tests.perf.usage import usage
from tests.servers.nats import NatsServer

MOST_GLANCES = 60


@dataclass(frozen=True)
class Glance:
    """What one operator said and had used at one moment."""

    seconds: float
    """Since its trouble began."""
    alive: bool
    healthz: int
    readyz: int
    rss_mb: float
    cpu_s: float
    calls: int
    log_bytes: int


@dataclass
class Outcome:
    """What was seen of one operator."""

    during: list[Glance] = field(default_factory=list)
    """From the beginning of the trouble to its end."""
    drained_seconds: float | None = None
    """From the trouble's end until all tasks had succeeded; None = they had not in time."""
    unfinished: dict[str, int] = field(default_factory=dict)
    """Phases of the tasks, where they had not."""
    jobs: dict[int, int] = field(default_factory=dict)
    """How many tasks have how many Jobs."""
    tasks: int = 0
    lost: list[str] = field(default_factory=list)
    """Subjects of ends that NATS lacks."""
    surplus: dict[str, int] = field(default_factory=dict)
    """Subjects of ends that NATS has more often, or should not have."""
    after: Glance | None = None

    def per_second(self, what: Callable[[Glance], float]) -> float:
        """Return by how much a count grew in a second of the trouble."""
        first, last = self.during[0], self.during[-1]
        return (what(last) - what(first)) / (last.seconds - first.seconds)

    def longest_silence(self) -> int:
        """Return how often in a row `/healthz` gave no good answer."""
        return max(
            len(list(group)) if not well else 0
            for well, group in groupby(self.during, lambda g: g.healthz == 200)
        )

    def growth_mb(self) -> float:
        """Return by how much the memory grew in the second half of the trouble.

        Before that, code that only errors need is loaded, and pools find their size.
        """
        return self.during[-1].rss_mb - self.during[len(self.during) // 2].rss_mb


def suffer(
    stages: Mapping[str, Stage],
    troubles: Mapping[str, Trouble],
    seconds: float,
    nats: NatsServer,
) -> dict[str, Outcome]:
    """Let every trouble last that long, all at once; return what was seen, by its name."""
    outcomes = {name: Outcome() for name in stages}
    _put_to_work(stages.values())
    for name, stage in stages.items():
        troubles[name].begin(stage)
        stage.make(2)
    _last(stages, outcomes, seconds)
    for name, stage in stages.items():
        troubles[name].end(stage)
    _drain(stages, outcomes)
    for name, stage in stages.items():
        _count(stage, outcomes[name], nats)
        outcomes[name].after = _glance(stage, time.monotonic())
    return outcomes


def _put_to_work(stages: Iterable[Stage]) -> None:
    """Give each operator two tasks, and wait for their Jobs."""
    for stage in stages:
        stage.operator.ready()
        stage.make(2)
    for stage in stages:
        eventually(partial(_at_work, stage), 60, f"Jobs in {stage.space}")


def _at_work(stage: Stage) -> bool:
    return len(stage.api.jobs(stage.space)) == stage.made


def _last(stages: Mapping[str, Stage], outcomes: Mapping[str, Outcome], seconds: float) -> None:
    """Look at all again and again; on half the way pods end, and tasks come then and at the end."""
    begun, pause = time.monotonic(), max(0.5, seconds / MOST_GLANCES)
    later = [0.9 * seconds, 0.5 * seconds]
    while (now := time.monotonic() - begun) < seconds:
        for name, stage in stages.items():
            outcomes[name].during.append(_glance(stage, begun))
        if later and now >= later[-1]:
            later.pop()
            for stage in stages.values():
                stage.api.end_pods(stage.space)
                stage.make(1)
        time.sleep(pause)
    for name, stage in stages.items():
        outcomes[name].during.append(_glance(stage, begun))


def _glance(stage: Stage, begun: float) -> Glance:
    operator = stage.operator
    used = usage(operator.process.pid) if operator.process and operator.alive else {}
    return Glance(
        seconds=time.monotonic() - begun,
        alive=operator.alive,
        healthz=operator.asked("/healthz")[0],
        readyz=operator.asked("/readyz")[0],
        rss_mb=used.get("rss_mb", 0.0),
        cpu_s=used.get("cpu_s", 0.0),
        calls=len(stage.proxy.calls),
        log_bytes=operator.log.stat().st_size,
    )


def _drain(stages: Mapping[str, Stage], outcomes: Mapping[str, Outcome]) -> None:
    """End pods everywhere until all tasks have succeeded, or the time for it is over."""
    begun = time.monotonic()
    left = dict(stages)
    while left and time.monotonic() - begun < DRAIN_SECONDS:
        for name, stage in list(left.items()):
            stage.api.end_pods(stage.space)
            if stage.api.phases(stage.space) == {"Succeeded": stage.made}:
                outcomes[name].drained_seconds = time.monotonic() - begun
                del left[name]
        time.sleep(0.2)
    for name, stage in left.items():
        outcomes[name].unfinished = dict(stage.api.phases(stage.space))


def _count(stage: Stage, outcome: Outcome, nats: NatsServer) -> None:
    """Count what there is of each task, once NATS had the time to get it."""
    expected = Counter(expected_ends(stage.space, stage.made))
    end = time.monotonic() + 15
    while expected - (found := _ends_of(stage, nats)) and time.monotonic() < end:
        time.sleep(0.5)
    owners = Counter(
        j["metadata"]["ownerReferences"][0]["name"] for j in stage.api.jobs(stage.space)
    )
    outcome.jobs, outcome.tasks = dict(Counter(owners.values())), stage.made
    outcome.lost = sorted(expected - found)
    outcome.surplus = dict(found - expected)


def _ends_of(stage: Stage, nats: NatsServer) -> Counter[str]:
    found = terminal_events(nats)
    return Counter({s: n for s, n in found.items() if s.split(".")[3] == stage.space})
