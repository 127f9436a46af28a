"""A workspace and its remote for attacks on git, and how one attack is laid out."""

import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.agent.projects import GIT_ENV, git, make_remote

OF_A_USER = {name: value for name, value in GIT_ENV.items() if name != "GIT_CONFIG_GLOBAL"}
ATTRIBUTES = "* filter=evil diff=evil merge=evil\n"
FILES = {"utils.py": "x = 0\n", "both.txt": "base\n", ".gitattributes": ATTRIBUTES}


@dataclass(frozen=True)
class Yard:
    """A workspace and its remote as in a pod, something beside them, and the command."""

    base: Path

    @property
    def root(self) -> Path:
        return self.base / "repo"

    @property
    def remote(self) -> Path:
        return self.base / "remote.git"

    @property
    def outside(self) -> Path:
        return self.base / "outside"

    @property
    def home(self) -> Path:
        """The home of the programs that operations start."""
        return self.base / "tmp"

    @property
    def command(self) -> Path:
        return self.base / "planted.sh"

    def marks(self) -> list[str]:
        """Return what an attack has left behind, nothing when it did not work."""
        marker = self.base / "marker"
        return [path.name for path in (marker, *self.outside.iterdir()) if path.exists()]


Lay = Callable[[Yard], None]


def nothing(_: Yard) -> None:
    """Lay out nothing."""


@dataclass(frozen=True)
class Attack:
    """Texts for the two configurations, more to lay out, and plain git's way into it."""

    name: str
    proofs: tuple[tuple[str, ...], ...]
    config: str = ""
    remote_config: str = ""
    user_config: str = ""
    """For the home of the programs that operations start: tests may write there."""
    lay: Lay = nothing
    stdin: bytes = b""
    terminal: bool = False
    """Whether the command needs a terminal to be run."""
    fails: tuple[str, ...] = ()
    """The operations that cannot work in such a repository; `*` = all."""

    def plant(self, yard: Yard) -> None:
        """Lay everything out, again if need be."""
        self.lay(yard)
        for path, text in (
            (yard.root / ".git" / "config", self.config),
            (yard.remote / "config", self.remote_config),
            (yard.home / ".gitconfig", self.user_config),
        ):
            if text:
                with path.open("a", encoding="utf-8") as file:
                    file.write(self._filled(text, yard))

    def prove(self, yard: Yard, proof: tuple[str, ...]) -> None:
        """Run plain git into it; how that ends does not matter."""
        argv = ["git", *(self._filled(word, yard) for word in proof)]
        output: int = subprocess.DEVNULL
        if self.terminal:
            leader, output = pty.openpty()
        env = GIT_ENV if not self.user_config else {**OF_A_USER, "HOME": str(yard.home)}
        subprocess.run(
            argv, cwd=yard.root, env=env, input=self.stdin, stdout=output, stderr=output,
            timeout=30, check=False,
        )  # fmt: skip
        if self.terminal:
            os.close(output)
            os.close(leader)

    def _filled(self, text: str, yard: Yard) -> str:
        known = {"command": yard.command, "remote": yard.remote, "outside": yard.outside}
        return text.format(**known, elsewhere=yard.base / "elsewhere")


def make_yard(base: Path) -> Yard:
    """Make a repository with a branch that is ahead of ours and one that conflicts with it."""
    yard = Yard(base)
    yard.root.mkdir(parents=True)
    git(yard.root, "init", "--quiet", "--initial-branch=agent", "--template=")
    (yard.root / ".git" / "info").mkdir()
    git(yard.root, "commit", "--quiet", "--allow-empty", "--message=Nothing")
    for name, text in FILES.items():
        _commit(yard, "", name, text)
    make_remote(yard.remote, yard.root)
    _commit(yard, "theirs", "both.txt", "theirs\n")
    git(yard.root, "switch", "--quiet", "agent")
    _commit(yard, "", "both.txt", "ours\n")
    _commit(yard, "friend", "friend.txt", "new\n")
    git(yard.root, "push", "--quiet", str(yard.remote), "theirs", "friend")
    git(yard.root, "switch", "--quiet", "agent")
    yard.outside.mkdir()
    return yard


def _commit(yard: Yard, branch: str, name: str, text: str) -> None:
    if branch:
        git(yard.root, "switch", "--quiet", "--create", branch)
    (yard.root / name).write_text(text)
    git(yard.root, "add", "--all")
    git(yard.root, "commit", "--quiet", f"--message={name} {branch}")


def copied(template: Yard, base: Path) -> Yard:
    """Return a copy with a change that is not committed yet, and the command beside it."""
    shutil.copytree(template.base, base, symlinks=True, dirs_exist_ok=True)
    yard = Yard(base)
    config = yard.root / ".git" / "config"
    config.write_text(config.read_text().replace(str(template.base), str(base)))
    (yard.root / "utils.py").write_text("x = 1\n")
    yard.command.write_text(f"#!/bin/sh\ntouch {base / 'marker'}\n")
    yard.command.chmod(0o755)
    yard.home.mkdir()
    return yard
