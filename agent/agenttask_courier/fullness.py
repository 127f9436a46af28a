"""How full a volume is: counted as the kubelet counts, before the kubelet counts.

Beyond its size limit the kubelet evicts the pod with a second's notice, and with it what
could have been saved. So a run ends at FULL_SHARE of the limit, while there is time.
"""

import asyncio
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")

FULL_SHARE = 0.8
PAUSE_SECONDS = 2.0
PAUSE_PER_WALK = 5
"""Counting takes at most a sixth of the time, however many files there are."""
_BLOCK_BYTES = 512


class VolumeFull(Exception):
    """A volume is as full as it may get; the message says how full."""


async def until_full(folder: Path, limit: int) -> str:
    """Return how full the folder is, once that is FULL_SHARE of `limit` bytes.

    Never returns when the limit is 0, which means that there is none.
    """
    while True:
        started = time.monotonic()
        used = await asyncio.to_thread(used_bytes, folder) if limit else 0
        if limit and used >= FULL_SHARE * limit:
            return f"{used} of {limit} bytes are used"
        await asyncio.sleep(max(PAUSE_SECONDS, PAUSE_PER_WALK * (time.monotonic() - started)))


async def unless_full(work: Coroutine[Any, Any, Found], folder: Path, limit: int) -> Found:
    """Return what the work returns; cancels it and raises VolumeFull when the folder fills."""
    working = asyncio.create_task(work)
    filling = asyncio.create_task(until_full(folder, limit))
    try:
        await asyncio.wait({working, filling}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise VolumeFull(filling.result())
        return working.result()
    finally:
        working.cancel()
        filling.cancel()


def used_bytes(root: Path) -> int:
    """Return the bytes allocated below a folder, each file once, following no link.

    What vanishes meanwhile or cannot be opened counts as nothing.
    """
    total, seen = 0, set[tuple[int, int]]()
    folders = [os.fspath(root)]
    while folders:
        for entry in _entries(folders.pop()):
            try:
                facts = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
            except OSError:
                continue
            if facts.st_nlink == 1 or (facts.st_dev, facts.st_ino) not in seen:
                total += facts.st_blocks * _BLOCK_BYTES
            if facts.st_nlink > 1:
                seen.add((facts.st_dev, facts.st_ino))
    return total


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return []
    os.close(handle)
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []
