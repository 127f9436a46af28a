"""Keeps what a probe found out, in a file of one endpoint and one model.

Only a local run has such a file (docs/decisions/0035). A file that cannot be read or
written is as good as none: it saves two short questions, and decides nothing.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from agenttask_api.result import Capabilities

MAX_AGE = 24 * 3600.0
"""Seconds. A server may be started anew with other options, and does not say so."""
MAX_BYTES = 4096


class Kept(BaseModel):
    """What the file holds."""

    at: float
    """Seconds since the epoch."""
    found: Capabilities


@dataclass(frozen=True)
class ProbeCache:
    """One file; `path` None = there is none."""

    path: Path | None = None
    clock: Callable[[], float] = time.time

    def recall(self, name: str, window: int | None) -> Capabilities | None:
        """Return what was found lately of this model, if its context is as long as it was."""
        kept = self._read()
        if kept is None or not 0 <= self.clock() - kept.at < MAX_AGE:
            return None
        same = kept.found.model == name and kept.found.context_window == window
        return kept.found if same else None

    def keep(self, found: Capabilities) -> None:
        """Write it down for the next run."""
        if self.path is None:
            return
        new = self.path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(Kept(at=self.clock(), found=found).model_dump_json(), encoding="utf-8")
            new.replace(self.path)

    def _read(self) -> Kept | None:
        if self.path is None:
            return None
        try:
            with self.path.open("rb") as file:
                return Kept.model_validate_json(file.read(MAX_BYTES))
        except (OSError, ValidationError):
            return None
