"""News of tasks, from two watches: the unfinished ones as a whole, and all of them in a line.

The first says what an unfinished task is, and nothing of its end: a task that ends leaves
the selection, which looks like its deletion. The second, the roster, says which tasks there
are, and of a finished one whether anything is left to do for it. The two are not in step.
Where they leave a doubt, the task is read before anything is done for it.
"""

import logging
import sys
from dataclasses import dataclass

from agenttask_api.status import TERMINAL_PHASES
from agenttask_operator.cache import Cache
from agenttask_operator.informer import Listener
from agenttask_operator.kinds import Object
from agenttask_operator.observed import Key, Task, parse_task
from agenttask_operator.queue import WorkQueue
from agenttask_operator.reconcile import Reconciler
from agenttask_operator.status import is_final
from agenttask_operator.tables import OBSERVED, PHASE, PUBLISHED, UNSENT

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """What the roster says of a task.

    Ten thousand finished tasks are listed at every start, and stay with us as a number each.
    """

    key: Key
    version: str
    ended: bool
    over: bool
    """Nothing is left to do for it."""


class Roster:
    """Takes news of tasks into the cache and puts their keys on the queue."""

    def __init__(self, cache: Cache, queue: WorkQueue, reconciler: Reconciler, nats: bool) -> None:
        self._cache = cache
        self._queue = queue
        self._reconciler = reconciler
        self._nats = nats

    def unfinished(self, scope: str = "") -> Listener:
        """Return what to do with news of the unfinished tasks of a namespace; empty = of all."""
        return Listener(
            lambda tasks, version: self._listed(tasks, version, scope),
            lambda obj: self.changed(self._read(obj)),
            self._left,
            self._read,
        )

    def lines(self, scope: str = "") -> Listener:
        """Return what to do with the lines of all tasks of a namespace; empty = of all."""
        return Listener(
            lambda lines, version: self._called(lines, version, scope),
            lambda row: self.line(read_line(row, self._nats)),
            lambda row: self._gone(read_line(row, self._nats)),
            lambda row: read_line(row, self._nats),
        )

    # Unfinished tasks, whole.

    def changed(self, task: Task, force: bool = False) -> None:
        """Take an unfinished task; `force` = it is the truth, whatever its version."""
        if not force and self._cache.is_late(task.key, task.resource_version):
            return
        self._cache.finished.pop(task.key, None)
        self._cache.put_task(task, force=True)
        self._queue.add(task.key)

    def _read(self, obj: Object) -> Task:
        return parse_task(obj, self._cache.tasks.get(_key(obj)))

    def _left(self, obj: Object) -> None:
        """It has ended or is deleted. Of our own writes we know that already."""
        key, version = _key(obj), obj["metadata"]["resourceVersion"]
        if key in self._cache.tasks and not self._cache.is_late(key, version):
            self._doubt(key, version)

    def _listed(self, tasks: list[Task], version: str, scope: str) -> None:
        """What is not listed has ended or is gone: the roster says which."""
        restored = self._cache.went_back("unfinished tasks", scope, version)
        for task in tasks:
            self.changed(task, restored)
        for key, known in self._cache.tasks.items():
            if not is_final(known.status):
                self._queue.add(key)

    # All tasks, in a line each.

    def line(self, line: Line, force: bool = False) -> None:
        """Take the line of a task; that of an unfinished one says nothing."""
        if not line.ended:
            return
        if not force and self._cache.is_late(line.key, line.version):
            return
        if line.over:
            self._reconciler.forget(line.key)
            self._cache.finish(line.key, line.version)
            return
        if force:
            self._reconciler.forget(line.key)
        self._doubt(line.key, line.version)

    def _gone(self, line: Line) -> None:
        """Forget the task, and ignore what the other watch may still bring of it."""
        if not self._cache.is_late(line.key, line.version):
            self._reconciler.forget(line.key)
            self._cache.finish(line.key, line.version)

    def _called(self, lines: list[Line], version: str, scope: str) -> None:
        restored = self._cache.went_back("roster", scope, version)
        for line in lines:
            self.line(line, restored)
        self._purge(scope, {line.key for line in lines}, "" if restored else version)

    def _purge(self, scope: str, seen: set[Key], version: str) -> None:
        known = {key: str(number) for key, number in self._cache.finished.items()}
        known |= {key: task.resource_version for key, task in self._cache.tasks.items()}
        for key, last in known.items():
            ours = not scope or key.namespace == scope
            if ours and key not in seen and _older(last, version):
                if key in self._cache.tasks:
                    extra = {"namespace": key.namespace, "task": key.name}
                    log.info("a task vanished unseen", extra=extra)
                self._reconciler.forget(key)

    def _doubt(self, key: Key, version: str) -> None:
        self._cache.doubt(key, version)
        self._queue.add(key)


def read_line(row: Object, nats: bool) -> Line:
    """Return what a row of the roster says; `nats` = ends of runs are published."""
    metadata = row["metadata"]
    return Line(
        Key(sys.intern(metadata["namespace"]), metadata["name"]),
        metadata["resourceVersion"],
        row["cells"].get(PHASE) in TERMINAL_PHASES,
        _is_over(row, nats),
    )


def _is_over(row: Object, nats: bool) -> bool:
    """Say whether nothing is left to do for the task of a row.

    A column that is missing, as in an older resource, leaves the question open.
    """
    cells = row["cells"]
    if cells.get(PHASE) not in TERMINAL_PHASES or UNSENT not in cells:
        return False
    if cells.get(OBSERVED) != row["metadata"].get("generation", 0):
        return False
    return not cells[UNSENT] and (not nats or cells.get(PUBLISHED) == "True")


def _key(obj: Object) -> Key:
    return Key(obj["metadata"]["namespace"], obj["metadata"]["name"])


def _older(known: str, version: str) -> bool:
    return not (known.isdigit() and version.isdigit()) or int(known) <= int(version)
