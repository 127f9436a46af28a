"""Run other programs: one way to call kubectl, kind and the scripts in hack."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
"""The checkout."""


class CommandFailed(Exception):
    """A program ended with another code than 0; `stderr` holds what it said."""

    def __init__(self, argv: list[str], code: int, stdout: str, stderr: str) -> None:
        """Keep what is needed to understand the failure."""
        said = (stderr or stdout).strip()[-2000:]
        super().__init__(f"{' '.join(argv[:6])} ended with {code}: {said}")
        self.stdout, self.stderr, self.code = stdout, stderr, code


def run(*argv: str, stdin: str | None = None, timeout: float = 3600, show: bool = False) -> str:
    """Run a program and return its standard output; raises CommandFailed."""
    done = subprocess.run(
        argv,
        input=stdin,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.PIPE,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise CommandFailed(list(argv), done.returncode, done.stdout or "", done.stderr or "")
    return done.stdout or ""


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster."""

    path: str
    kubeconfig: str

    def __call__(self, *args: str, stdin: str | None = None, timeout: float = 300) -> str:
        """Run kubectl and return its standard output; raises CommandFailed."""
        return run(self.path, "--kubeconfig", self.kubeconfig, *args, stdin=stdin, timeout=timeout)

    def apply(self, *objects: dict[str, Any] | str, namespace: str | None = None) -> None:
        """Apply objects (dicts, or YAML text) server-side."""
        where = ("-n", namespace) if namespace else ()
        for obj in objects:
            text = obj if isinstance(obj, str) else json.dumps(obj)
            self("apply", "--server-side", "--force-conflicts", *where, "-f", "-", stdin=text)

    def get(self, *args: str) -> Any:
        """Return `kubectl get ARGS -o json`, parsed."""
        return json.loads(self("get", *args, "-o", "json"))
