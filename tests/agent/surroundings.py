"""A place to let hostile calls loose in, and to see afterwards what they reached.

The workspace has traps in it and is put back between calls. Everything around it, the
agent's home and temporary folder and the working directory included, must stay as it is.
"""

import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.agent.projects import PROJECT, git, make_remote, make_repository
from tests.agent.toolboxes import Tools, subreaper

from agenttask_agent.audit import AuditTrail
from agenttask_agent.results import ToolResult
from agenttask_agent.tools.gitconfig import is_allowed
from agenttask_agent.tools.remotes import Remotes

OURS = frozenset({"audit.jsonl", "caches", "docker", "tests.log"})
"""What a run keeps in its temporary folder."""
MAY_CHANGE = frozenset({"repo", "remote.git", "tmp", "home"})
"""The last one belongs to the programs that tests start."""
FILES = PROJECT | {
    "crlf.txt": "one\r\ntwo\r\n",
    "bom.txt": "\ufeffmarked\n",
    "binary.bin": "a\0b",
    "empty": "",
    "deep/er/x.txt": "x\n",
}
Facts = dict[str, tuple[Any, ...]]


@dataclass
class Surroundings:
    """`base` holds all there is; the workspace and its remote may change, the rest may not."""

    base: Path
    tools: Tools
    places: tuple[Path, ...]
    templates: dict[Path, Path] = field(default_factory=dict)
    clean: dict[Path, Facts] = field(default_factory=dict)
    git_may_change: bool = False
    """Whether the operations are git's, which alone may write below `.git`."""
    reap: bool = True
    """Whether every child must be gone after each call, or only at the end."""

    def equip(self, **equipment: Any) -> None:
        """Give the operations what they work with."""
        self.tools.toolbox.context = replace(self.tools.toolbox.context, **equipment)

    def begin_audit(self) -> None:
        """Start an audit of its own for what follows."""
        self.tools.audit.path.unlink(missing_ok=True)
        self.tools.audit = AuditTrail(self.tools.audit.path)
        self.tools.toolbox.audit = self.tools.audit

    def call(self, operation: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Make one call; fail if it raised, hid, changed or left behind anything."""
        self.put_back()
        before, children = self.kept(), children_of_ours()
        result = self.answer(operation, arguments)
        assert self.kept() == before, arguments
        left = children_of_ours() - children
        assert not (self.reap and left), (arguments, described(left))
        return result

    def answer(self, operation: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Make one call, looking only at the result and at its one entry in the audit."""
        path = self.tools.audit.path
        size = path.stat().st_size if path.exists() else 0
        result = self.tools.toolbox.call(operation, dict(arguments))
        assert isinstance(result, ToolResult)
        assert not (result.error or "").startswith("internal error: "), (arguments, result.error)
        assert result.ok is (result.error is None)
        json.dumps(result.to_json(), allow_nan=False)
        result.for_model().encode()
        with path.open("rb") as file:
            file.seek(size)
            written = file.read()
        assert written.count(b"\n") == 1
        assert json.loads(written)["success"] is result.ok
        return result

    def put_back(self) -> None:
        """Undo what the last call did to the workspace and its remote."""
        for place in self.places:
            if self.clean.get(place) != facts(place):
                empty(place)
                shutil.copytree(self.templates[place], place, symlinks=True, dirs_exist_ok=True)
                if place == self.tools.root:
                    lay_traps(place, self.base / "outside")
                self.clean[place] = facts(place)

    def kept(self) -> Facts:
        """Return all that no call may change."""
        others = [name for name in names(self.base) if name not in MAY_CHANGE]
        found = {name: facts(self.base / name) for name in others}
        found["around"] = dict.fromkeys(others, ())
        tmp = [name for name in names(self.base / "tmp") if name not in OURS]
        found["temporary"] = dict.fromkeys(tmp, ())
        root, remote = self.places
        for folder in (root / ".git", remote):
            found[folder.name] = self._kept_of_git(folder)
        return {
            f"{place}: {name}": fact for place, part in found.items() for name, fact in part.items()
        }

    def _kept_of_git(self, folder: Path) -> Facts:
        if not self.git_may_change:
            return facts(folder)
        return facts(folder / "hooks") | {name: () for name in forbidden_settings(folder)}


def forbidden_settings(folder: Path) -> list[str]:
    """Return the names of settings in a git folder that could make git run something."""
    content = (folder / "config").read_text("utf-8", "replace")
    return _forbidden(str(folder / "config"), folder.suffix == ".git", content)


@functools.lru_cache
def _forbidden(config: str, bare: bool, content: str) -> list[str]:
    listed = git(Path("/"), "config", "--file", config, "--null", "--list")
    pairs = [entry.partition("\n") for entry in listed.split("\0") if entry]
    return [key for key, _, value in pairs if not is_allowed(key, value, bare)]


def facts(folder: Path) -> Facts:
    """Return what tells a changed file from an unchanged one, for all of a folder.

    A file written in place has another time, one that was replaced another inode; the
    times of folders, and of status, change with links to what is in them.
    """
    found: Facts = {}
    pending = [str(folder)] if folder.is_dir() else []
    while pending:
        for entry in os.scandir(pending.pop()):
            state = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)
                found[entry.path] = (state.st_mode, state.st_ino)
            else:
                time = state.st_mtime_ns
                found[entry.path] = (state.st_mode, state.st_ino, state.st_size, time)
    return found


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def empty(folder: Path) -> None:
    """Remove all that is in a folder, which itself stays: the workspace holds it open."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def lay_traps(root: Path, outside: Path) -> None:
    """Put links of both kinds to a folder outside and a pipe into the workspace."""
    (root / "link").symlink_to(outside)
    (root / "hard").hardlink_to(outside / "shared")
    os.mkfifo(root / "pipe")


def children_of_ours() -> frozenset[int]:
    """Return the processes whose parent is this one, those that have ended included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()
    return frozenset(pid for pid, parent in _parents() if parent == os.getpid())


def _parents() -> Iterator[tuple[int, int]]:
    for name in filter(str.isdecimal, names(Path("/proc"))):
        with contextlib.suppress(OSError):
            fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
            yield int(name), int(fields[1])


@contextlib.contextmanager
def surroundings(files: Mapping[str, str] | None = None, **options: Any) -> Iterator[Surroundings]:
    """Make them, in a temporary folder that is also the working directory meanwhile."""
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name), subreaper():
        base = Path(name)
        outside = base / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (outside / "shared").write_text("readable through a hard link, not writable")
        repo, remote = _repository(base, {**FILES, **(files or {})})
        wanted = {"remotes": Remotes((str(remote),)), "max_output": 2000, "role": None}
        (base / "home").mkdir()
        tools = Tools(repo, base / "tmp", home=base / "home", **(wanted | options))
        made = Surroundings(base, tools, (repo, remote))
        for place in made.places:
            made.templates[place] = base / "clean" / place.name
            shutil.copytree(place, made.templates[place], symlinks=True)
        try:
            yield made
        finally:
            tools.close()


def _repository(base: Path, files: Mapping[str, str]) -> tuple[Path, Path]:
    """Make a repository and its remote, which has a branch with one commit more."""
    repo = make_repository(base / "repo", files)
    remote = make_remote(base / "remote.git", repo)
    git(repo, "switch", "--quiet", "--create", "theirs")
    (repo / "theirs.txt").write_text("theirs\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message=Theirs")
    git(repo, "push", "--quiet", str(remote), "theirs")
    git(repo, "switch", "--quiet", "agent")
    shutil.rmtree(repo / ".git" / "hooks")
    (repo / ".git" / "hooks").mkdir()
    (repo / "utils.py").write_text(files["utils.py"] + "# changed\n")
    return repo, remote


def described(pids: frozenset[int]) -> list[str]:
    """Return what tells who the processes are."""
    return [
        Path(f"/proc/{pid}/{what}").read_text("utf-8", "replace")[:200]
        for pid in pids
        for what in ("stat", "cmdline")
    ]
