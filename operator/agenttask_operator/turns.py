"""Whose turn it is to start, when not all may run at once.

Pure. Namespaces take turns, the one that runs least first, so that a namespace with five
thousand tasks delays another's one by no more than its own share. Within a namespace higher
`queue.priority` comes first, then age. A task that cannot start yet never holds up one
that can.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agenttask_api.reasons import Reason
from agenttask_operator.observed import Key


@dataclass(frozen=True)
class Waiting:
    """A task that could start."""

    key: Key
    class_name: str
    endpoint: str
    endpoint_limit: int
    """How many tasks its class allows on the endpoint, those of other classes included."""
    priority: int = 0
    since: float = 0.0
    """When the task was created, in seconds since 1970."""


@dataclass(frozen=True)
class Busy:
    """A task that holds a place: its Job exists or is about to."""

    key: Key
    class_name: str
    endpoint: str


@dataclass(frozen=True)
class Limits:
    """How many tasks may run at once; 0 = as many as like."""

    total: int = 0
    namespace: int = 0


@dataclass(frozen=True)
class Obstacle:
    """Why a task may not start."""

    reason: Reason
    words: str


@dataclass(frozen=True)
class Turn:
    """The answer to one task."""

    obstacle: Obstacle | None = None
    """None = it may start."""
    position: int = 0
    """Among those that wait, from 1."""
    waiting: int = 0

    @property
    def admitted(self) -> bool:
        """Whether the task may start."""
        return self.obstacle is None


class Places:
    """How many places are taken: in all, by namespace and by endpoint."""

    def __init__(self, busy: Iterable[Busy] = ()) -> None:
        self.total = 0
        self.namespaces: Counter[str] = Counter()
        self.endpoints: Counter[str] = Counter()
        for one in busy:
            self.take(one.key, one.endpoint)

    def copy(self) -> "Places":
        """Return places that may be taken to see what would follow."""
        other = Places()
        other.total = self.total
        other.namespaces, other.endpoints = self.namespaces.copy(), self.endpoints.copy()
        return other

    def take(self, key: Key, endpoint: str, count: int = 1) -> None:
        """Take places; -1 gives one back."""
        self.total += count
        self.namespaces[key.namespace] += count
        self.endpoints[endpoint] += count

    def obstacle(
        self, task: Waiting, limits: Limits, closed: Mapping[str, Obstacle]
    ) -> Obstacle | None:
        """Return why the task may not have one more place; None = it may."""
        if task.endpoint in closed:
            return closed[task.endpoint]
        if self.endpoints[task.endpoint] >= task.endpoint_limit:
            words = f"{task.endpoint} serves {task.endpoint_limit} tasks at once"
            return Obstacle(Reason.MODEL_AT_CAPACITY, words)
        if limits.total and self.total >= limits.total:
            return Obstacle(Reason.QUEUED, f"the operator runs {limits.total} tasks at once")
        if limits.namespace and self.namespaces[task.key.namespace] >= limits.namespace:
            return Obstacle(Reason.QUEUED, f"the namespace runs {limits.namespace} tasks at once")
        return None


def decide_turns(
    waiting: Iterable[Waiting],
    taken: Places,
    limits: Limits,
    closed: Mapping[str, Obstacle],
) -> dict[Key, Turn]:
    """Return everybody's turn; `closed` are endpoints that take no task now."""
    places, running = taken.copy(), taken.namespaces
    turns: dict[Key, Turn] = {}
    held: list[tuple[Key, Obstacle]] = []
    for task in _in_order(waiting, running):
        obstacle = places.obstacle(task, limits, closed)
        if obstacle:
            held.append((task.key, obstacle))
        else:
            places.take(task.key, task.endpoint)
            turns[task.key] = Turn()
    for position, (key, obstacle) in enumerate(held, 1):
        turns[key] = Turn(obstacle, position, len(held))
    return turns


def _in_order(waiting: Iterable[Waiting], running: Mapping[str, int]) -> Iterable[Waiting]:
    """Yield the tasks, each from the namespace that would then have run least."""
    lanes: defaultdict[str, list[Waiting]] = defaultdict(list)
    for task in waiting:
        lanes[task.key.namespace].append(task)
    for lane in lanes.values():
        lane.sort(key=_rank, reverse=True)
    heap = [(running.get(space, 0), _rank(lane[-1]), space) for space, lane in lanes.items()]
    heapq.heapify(heap)
    while heap:
        share, _, space = heapq.heappop(heap)
        lane = lanes[space]
        yield lane.pop()
        if lane:
            heapq.heappush(heap, (share + 1, _rank(lane[-1]), space))


def _rank(task: Waiting) -> tuple[int, float, Key]:
    return (-task.priority, task.since, task.key)


def spell_turn(turn: Turn) -> str:
    """Return the message; places far behind are rounded, or every start would change it."""
    assert turn.obstacle
    place = f"place {_rough(turn.position)} of {_rough(turn.waiting)}"
    return f"{turn.obstacle.words}; {place} in the queue"


def _rough(number: int) -> str:
    if number <= 10:
        return str(number)
    step = 10 ** (len(str(number)) - 1)
    return f"about {round(number / step) * step}"
