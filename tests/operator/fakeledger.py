"""The run-once ledger in a dictionary, with every write a step of the crash matrix."""

from tests.operator.fakecluster import FakeCluster

from agenttask_api.ledger import LedgerEntry
from agenttask_operator.actions import Record
from agenttask_operator.facts import Recorded


class FakeLedger:
    def __init__(self, cluster: FakeCluster | None = None) -> None:
        self.cluster = cluster or FakeCluster()
        self.entries: dict[str, tuple[LedgerEntry, int]] = {}
        self.up = True
        self._revision = 0

    async def read(self, key: str) -> Recorded:
        if not self.up:
            return Recorded(key, reachable=False)
        entry, revision = self.entries.get(key, (None, 0))
        return Recorded(key, entry, revision)

    async def begin(self, record: Record) -> Recorded:
        if self.up and record.key not in self.entries:
            self._put(record.key, record.entry)
        return await self.read(record.key)

    async def mark_created(self, known: Recorded) -> Recorded:
        assert known.entry
        if not self.up or self.entries[known.key][1] != known.revision:
            return known
        self._put(known.key, known.entry.model_copy(update={"job_created": True}))
        return await self.read(known.key)

    async def withdraw(self, known: Recorded) -> Recorded:
        if not self.up:
            return known
        self.cluster.before("withdraw")
        del self.entries[known.key]
        self.cluster.after()
        return await self.read(known.key)

    async def finish(self, record: Record) -> bool:
        if not self.up:
            return False
        there = self.entries.get(record.key)
        if not (there and there[0].outcome and there[0].uid == record.entry.uid):
            self._put(record.key, record.entry)
        return True

    def _put(self, key: str, entry: LedgerEntry) -> None:
        self.cluster.before("ledger")
        self._revision += 1
        self.entries[key] = (entry, self._revision)
        self.cluster.after()
