"""What is remembered of tasks between plans; losing it costs a repetition, never a duplicate."""

from dataclasses import dataclass, field
from datetime import datetime

from agenttask_api.result import AgentResult
from agenttask_operator.actions import Publish
from agenttask_operator.blockers import Note
from agenttask_operator.facts import Publication, Recorded, Refusal
from agenttask_operator.observed import Key, Task
from agenttask_operator.orphans import Orphans


@dataclass
class Memory:
    """What is remembered of one task between plans."""

    uid: str
    created: str = ""
    refusal: Refusal | None = None
    publications: dict[str, Publication] = field(default_factory=dict)
    unsent: dict[str, Publish] = field(default_factory=dict)
    """What NATS did not take, by terminal id."""
    failures: int = 0
    """Publications that failed, in a row."""
    unpublished_since: datetime | None = None
    """When a publication first failed that has not succeeded yet."""
    witnessed: str = ""
    """Version of the ended Job for which the API server was asked for the pods."""
    due: tuple[str, datetime] | None = None
    """Which status write is due, and since when."""
    notes: tuple[Note, ...] = ()
    notes_of: tuple[str, datetime] | None = None
    recorded: tuple[str, Recorded] | None = None
    """The run key, and what the ledger said of it."""
    result: tuple[str, AgentResult | None] | None = None


class Memories(dict[Key, Memory]):
    """The memories of all tasks that are not done with."""

    def __init__(self) -> None:
        super().__init__()
        self.orphans = Orphans()
        """What of the forgotten ones NATS has not taken."""

    def of(self, task: Task) -> Memory:
        """Return the task's memory; one of an older task of the same name is not its own."""
        memory = self.get(task.key)
        if not memory or memory.uid != task.uid:
            self.drop(task.key)
            memory = self[task.key] = Memory(task.uid)
        return memory

    def drop(self, key: Key) -> None:
        """Forget the task, but not what NATS must still be told of it."""
        memory = self.pop(key, None)
        if memory:
            self.orphans.keep(memory.unsent.values())


class Waiters:
    """Which tasks wait for the end of which; losing it costs a wait of some seconds."""

    def __init__(self) -> None:
        self._of: dict[Key, set[Key]] = {}

    def add(self, awaited: Key, waiting: Key) -> None:
        """Remember that the one waits for the other."""
        self._of.setdefault(awaited, set()).add(waiting)

    def release(self, ended: Key) -> set[Key]:
        """Return who waited for the task, and forget them."""
        return self._of.pop(ended, set())
