"""Progress as kind prints it: a step when it begins, a tick when the next one does."""

import sys
import time
from types import TracebackType
from typing import TextIO


class Progress:
    """Writes to standard error, so that standard output stays for answers."""

    def __init__(self, quiet: bool = False, stream: TextIO = sys.stderr) -> None:
        self.quiet = quiet
        self.stream = stream
        self.current = ""
        self.began = time.monotonic()

    def say(self, words: str) -> None:
        if not self.quiet:
            print(words, file=self.stream, flush=True)

    def step(self, words: str) -> None:
        """Begin a step; the same words again say that it still goes on."""
        if words == self.current:
            self.say(f" • {words}  ... {time.monotonic() - self.began:.0f} s")
            return
        self.finish("✓")
        self.current, self.began = words, time.monotonic()
        self.say(f" • {words}  ...")

    def finish(self, mark: str) -> None:
        if self.current:
            self.say(f" {mark} {self.current} ({time.monotonic() - self.began:.1f} s)")
        self.current = ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish("✓" if error is None else "✗")
