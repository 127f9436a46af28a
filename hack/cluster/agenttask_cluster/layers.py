"""Which layers of our buildah store nobody's build has used for long, so that they go.

Every layer of every version of every Dockerfile stays as an image without a name. buildah
does not tell when it last took one from its cache, but says so while it builds: that is
kept in a file beside the store. What carries a name, ours or anybody's, is left alone.
"""

import contextlib
import fcntl
import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

KEPT = 200
"""Layers that stay however old they are: those of several versions of all our images."""
UNUSED_SECONDS = 24 * 3600.0
MOST_AT_ONCE = 100
"""Removed after one build, which somebody waits for."""
ID = re.compile(r"^--> (?:Using cache )?([0-9a-f]{11,64})\s*$", re.MULTILINE)
SHORT = 11
"""Letters of an id that buildah says at least."""


def used(output: str) -> set[str]:
    """Return the ids, shortened, of the layers that a build took or made, by what it said."""
    return {found[:SHORT] for found in ID.findall(output)}


def superfluous(nameless: Sequence[str], uses: Mapping[str, float], now: float) -> list[str]:
    """Return which layers go, the longest unused first; `uses` has seconds since the epoch.

    One that was never seen before counts as used now: it may be another checkout's.
    """
    by_use = sorted(nameless, key=lambda layer: uses.get(layer, now))
    old = by_use[: max(0, len(by_use) - KEPT)]
    return [layer for layer in old if uses.get(layer, now) < now - UNUSED_SECONDS][:MOST_AT_ONCE]


@contextlib.contextmanager
def building(store: Path) -> Iterator[None]:
    """Keep everybody from removing layers while the block builds; builds may overlap."""
    with _lock_file(store).open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


def prune(command: Sequence[str], store: Path, output: str) -> int:
    """Note what a build has used, and remove what nobody has; return how many went.

    Where somebody builds now nothing is done, and the next build's notes have to do.
    """
    with _lock_file(store).open("w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        return _prune(command, store.with_name(f"{store.name}-uses.json"), used(output))


def _prune(command: Sequence[str], notes: Path, fresh: set[str]) -> int:
    now, nameless = time.time(), _nameless(command)
    uses = {**dict.fromkeys(nameless, now), **_read(notes), **dict.fromkeys(fresh, now)}
    gone = superfluous(nameless, uses, now)
    if gone:
        subprocess.run([*command, "rmi", *gone], capture_output=True, check=False)
    left = {layer: uses[layer] for layer in nameless if layer not in gone}
    notes.write_text(json.dumps(left), "utf-8")
    return len(gone)


def _nameless(command: Sequence[str]) -> list[str]:
    listing = [*command, "images", "--all", "--no-trunc", "--json"]
    done = subprocess.run(listing, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout or "[]") if done.returncode == 0 else []
    return [_short(image["id"]) for image in found or [] if not image["names"]]


def _short(name: str) -> str:
    return name.removeprefix("sha256:")[:SHORT]


def _read(notes: Path) -> dict[str, float]:
    try:
        return {str(k): float(v) for k, v in json.loads(notes.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _lock_file(store: Path) -> Path:
    store.parent.mkdir(parents=True, exist_ok=True)
    return store.with_name(f"{store.name}.lock")
