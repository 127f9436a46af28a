"""The git repository that Flux and Argo CD follow: a checkout whose commits are served at once."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BRANCH = "main"
FOLDER = "tasks"
"""Where the tasks are. The kustomization.yaml is above it, for Flux: where Argo CD finds one, it
runs the program kustomize, which its own image has and this machine has not."""
_IDENTITY = ("-c", "user.name=platform", "-c", "user.email=platform@example.com")


@dataclass(frozen=True)
class Repository:
    """A checkout and the bare repository that it pushes to."""

    checkout: Path
    bare: Path
    url: str

    def write(self, *tasks: dict[str, Any]) -> str:
        """Make these the tasks of the repository, commit, and return the commit."""
        folder = self.checkout / FOLDER
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        (folder / "README.md").write_text("The tasks of a team.\n", encoding="utf-8")
        names = []
        for task in tasks:
            names.append(f"{FOLDER}/{task['metadata']['name']}.json")
            (self.checkout / names[-1]).write_text(json.dumps(task, indent=1), encoding="utf-8")
        (self.checkout / "kustomization.yaml").write_text(
            json.dumps({"apiVersion": "kustomize.config.k8s.io/v1beta1",
                        "kind": "Kustomization", "resources": names}), encoding="utf-8",
        )  # fmt: skip
        self._git("add", "-A")
        self._git(*_IDENTITY, "commit", "-q", "--allow-empty", "-m", "Change the tasks")
        self._git("push", "-q", "origin", f"HEAD:{BRANCH}")
        return self._git("rev-parse", "HEAD").strip()

    def archive(self, commit: str) -> bytes:
        """Return the commit's files as a tar."""
        return subprocess.run(
            ["git", "-C", self.checkout, "archive", "--format=tar", commit],
            check=True, capture_output=True,
        ).stdout  # fmt: skip

    def _git(self, *arguments: str) -> str:
        argv = ["git", "-C", str(self.checkout), *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def make_repository(root: Path, name: str, url: str) -> Repository:
    """Make an empty repository below `root`, which something serves at `url`."""
    bare, checkout = root / f"{name}.git", root / name
    subprocess.run(["git", "init", "-q", "--bare", "-b", BRANCH, bare], check=True)
    subprocess.run(["git", "init", "-q", "-b", BRANCH, checkout], check=True)
    subprocess.run(["git", "-C", checkout, "remote", "add", "origin", bare], check=True)
    return Repository(checkout, bare, url)
