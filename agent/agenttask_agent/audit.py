"""The audit trail: one entry for every attempted operation, chained by hashes.

Each entry holds the sha256 of the line before it, so an entry that is changed or
left out later shows. The file can be changed by the code under test, which runs as
the same user; the copy in memory is the one that is reported.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agenttask_agent.redact import Redactor
from agenttask_agent.results import ToolResult
from agenttask_api.result import Operation

LONG = 200
"""Longer argument values are kept as their beginning, length and sha256."""
MAX_ERROR = 500
NOTHING = "0" * 64


@dataclass
class AuditTrail:
    """Append-only. A sink that fails is counted and never fails the run."""

    path: Path
    redactor: Redactor = field(default_factory=Redactor)
    clock: Callable[[], float] = time.time
    entries: list[dict[str, object]] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    lost: int = 0
    _last: str = NOTHING

    def next_seq(self) -> int:
        """Return the number of the next entry, from 1."""
        return len(self.entries) + 1

    def record(self, result: ToolResult, arguments: Mapping[str, object], seconds: float) -> None:
        """Add the entry of one attempt."""
        params = {self.redactor.text(str(k)): self._short(v) for k, v in arguments.items()}
        error = self.redactor.text(result.error or "")[:MAX_ERROR]
        family, _, name = result.operation.partition(".")
        entry: dict[str, object] = {
            "seq": self.next_seq(),
            "timestamp": round(self.clock(), 3),
            "prev_sha256": self._last,
            "tool": family,
            "operation": name,
            "params": params,
            "success": result.ok,
            "denied": result.denied,
            "error": error,
            "duration_ms": round(seconds * 1000, 3),
            "bytes": len(result.output.encode(errors="replace")),
            "truncated": result.truncated,
            "metadata": self.redactor.value(result.metadata),
        }
        self._append(entry)
        self.operations.append(_operation(result, entry, params))

    def _append(self, entry: dict[str, object]) -> None:
        line = json.dumps(entry, sort_keys=True, ensure_ascii=True)
        self._last = hashlib.sha256(line.encode()).hexdigest()
        self.entries.append(entry)
        try:
            with self.path.open("a", encoding="ascii") as file:
                file.write(line + "\n")
        except OSError:
            self.lost += 1

    def _short(self, value: object) -> object:
        plain = self.redactor.value(value)
        text = plain if isinstance(plain, str) else json.dumps(plain, default=str)
        if len(text) <= LONG:
            return plain
        digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
        return {"beginning": text[:LONG], "length": len(text), "sha256": digest}


def verify_chain(lines: list[str]) -> bool:
    """Say whether every line holds the hash of the one before it."""
    last = NOTHING
    for line in lines:
        if json.loads(line)["prev_sha256"] != last:
            return False
        last = hashlib.sha256(line.encode()).hexdigest()
    return True


def _operation(
    result: ToolResult, entry: dict[str, object], params: dict[str, object]
) -> Operation:
    return Operation(
        seq=int(str(entry["seq"])),
        operation=result.operation,
        success=result.ok,
        denied=result.denied,
        duration_ms=float(str(entry["duration_ms"])),
        error=str(entry["error"]),
        params=params,
        metadata=result.metadata,
    )
