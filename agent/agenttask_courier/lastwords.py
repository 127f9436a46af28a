"""Write the digest at every step, so that a pod that dies anywhere leaves the newest one."""

import os
from pathlib import Path

from agenttask_api.digest import Digest, write_digest
from agenttask_courier.journal import log


class LastWords:
    """The courier's termination message."""

    def __init__(self, path: Path, digest: Digest) -> None:
        self._path = path
        self.digest = digest

    def say(self, **changes: object) -> None:
        """Change the digest and write it; a final one only yields to a final one."""
        if self.digest.final and not changes.get("final"):
            return
        self.digest = self.digest.model_copy(update=changes)
        try:
            _overwrite(self._path, write_digest(self.digest).encode())
        except OSError as error:
            log("digest.unwritten", error=str(error))


def _overwrite(path: Path, text: bytes) -> None:
    """Replace the content by one write: the file is a mount and cannot be renamed over."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(handle, text, 0)
        os.ftruncate(handle, len(text))
    finally:
        os.close(handle)
