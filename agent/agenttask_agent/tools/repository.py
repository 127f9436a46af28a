"""Runs git in the workspace: one path, fixed arguments, nothing configurable.

The workspace is untrusted, its git configuration too: before every call it is
brought down to an allow-list, hooks and everything else that names a program is
switched off, and the environment is made from nothing. GitPython's command layer
starts the program; time and output are bounded here.
"""

import contextlib
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from agenttask_agent.tools.gitconfig import ConfigGuard
from agenttask_agent.tools.process import Finished, run_program
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.remotes import Remote, Remotes

SECONDS = 60.0
REMOTE_SECONDS = 300.0
MAX_OUTPUT = 2 * 1024 * 1024
EXCLUDES = Path(__file__).with_name("generated.gitignore")
"""What tools leave behind and nobody wants in a commit, .gitignore or not."""
HARDENING = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.pager=cat",
    "core.editor=true",
    "core.askPass=true",
    "core.attributesFile=/dev/null",
    "core.sshCommand=false",
    "core.quotePath=false",
    f"core.excludesFile={EXCLUDES}",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "log.showSignature=false",
    "credential.helper=",
    "diff.external=",
    "diff.ignoreSubmodules=all",
    "diff.autoRefreshIndex=false",
    "status.submoduleSummary=false",
    "submodule.recurse=false",
    "protocol.allow=never",
    "protocol.file.allow=user",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "advice.addEmbeddedRepo=false",
)
REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@{}^~+-]{0,254}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+#-]{0,199}")


@dataclass(frozen=True)
class Author:
    """Who commits: the task's git policy decides, never the repository."""

    name: str
    email: str


@dataclass
class Repository:
    """The git repository at a workspace's root."""

    root: Path
    author: Author
    path: str = "/usr/local/bin:/usr/bin:/bin"
    seconds_left: Callable[[], float] = lambda: SECONDS
    remotes: Remotes = Remotes()
    guard: ConfigGuard = field(init=False)

    def __post_init__(self) -> None:
        self.guard = ConfigGuard(self.root / ".git", self.env)

    @cached_property
    def env(self) -> Mapping[str, str]:
        """The whole environment of git."""
        who = {"NAME": self.author.name, "EMAIL": self.author.email}
        identity = {f"GIT_{r}_{k}": v for r in ("AUTHOR", "COMMITTER") for k, v in who.items()}
        return identity | {
            "PATH": self.path,
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "GIT_PAGER": "cat",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CEILING_DIRECTORIES": str(self.root.parent),
            "GIT_LITERAL_PATHSPECS": "1",
        }

    def run(
        self, argv: Sequence[str], *, limit: int = MAX_OUTPUT, remote: Remote | None = None
    ) -> Finished:
        """Run `git ARGV` and return how it ended; a failure is not raised."""
        self.guard.ensure_safe()
        wanted = (*HARDENING, f"safe.directory={self.root}", *(remote.settings if remote else ()))
        settings = [part for setting in wanted for part in ("-c", setting)]
        command = ["git", "--no-pager", *settings, *argv]
        longest = REMOTE_SECONDS if remote else SECONDS
        timeout = max(1.0, min(longest, self.seconds_left()))
        finished = self._start(command, timeout, limit)
        if finished.exit_code is None:
            self._unlock()
        return finished

    def text(self, argv: Sequence[str]) -> str:
        """Run git and return its output; raises ToolError with what it said."""
        finished = self.run(argv)
        if finished.exit_code != 0:
            raise ToolError(explain(finished))
        return finished.output.decode("utf-8", "replace").strip()

    def head(self) -> str | None:
        """Return the commit that HEAD points to, None before the first one."""
        finished = self.run(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
        return finished.output.decode().strip() if finished.exit_code == 0 else None

    def resolve(self, ref: str) -> str:
        """Return the object that a model's ref names; raises ToolError for anything else."""
        if not REF.fullmatch(ref) or ".." in ref:
            raise ToolError(f"{ref[:100]!r} is not a ref")
        found = self.run(["rev-parse", "--verify", "--quiet", "--end-of-options", ref])
        if found.exit_code != 0:
            raise ToolError(f"there is no {ref!r}")
        return found.output.decode().strip()

    def branch_name(self, name: str) -> str:
        """Return a model's name for a branch if git would take it; raises ToolError."""
        plain = bool(NAME.fullmatch(name)) and name != "HEAD"
        if not plain or self.run(["check-ref-format", f"refs/heads/{name}"]).exit_code != 0:
            raise ToolError(f"{name[:100]!r} is not a name of a branch")
        return name

    def branch(self) -> str:
        """Return the branch that is checked out; raises ToolError when there is none."""
        finished = self.run(["symbolic-ref", "--quiet", "--short", "HEAD"])
        if finished.exit_code != 0:
            raise ToolError("no branch is checked out")
        return self.branch_name(finished.output.decode("utf-8", "replace").strip())

    def tip(self, ref: str) -> str | None:
        """Return the commit of a full ref name, None when there is no such ref."""
        finished = self.run(["rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"])
        return finished.output.decode().strip() if finished.exit_code == 0 else None

    def origin(self) -> Remote:
        """Return the repository's one remote, whose address the workspace cannot choose."""
        found = self.run(["config", "--local", "--get-all", "remote.origin.url"])
        urls = found.output.decode("utf-8", "replace").splitlines()
        if len(urls) != 1:
            raise Denied(f"the repository has {len(urls)} addresses for origin and not one")
        return self.remotes.reach(urls[0], self.env)

    def _start(self, command: list[str], timeout: float, limit: int) -> Finished:
        """Start git as GitPython starts every git.

        Not through `Git.execute`, which adds our own environment to git's and cannot be
        told not to.
        """
        from git.cmd import safer_popen

        return run_program(
            command,
            cwd=self.root,
            env=self.env,
            timeout=timeout,
            limit=limit,
            stderr=subprocess.PIPE,
            popen=safer_popen,
        )

    def _unlock(self) -> None:
        """Remove the lock of a git that we killed ourselves."""
        with contextlib.suppress(OSError):
            (self.root / ".git" / "index.lock").unlink()


def explain(finished: Finished) -> str:
    """Return why git failed, for the model."""
    if finished.exit_code is None:
        return f"git took longer than {finished.seconds:.0f} seconds and was ended"
    said = (finished.errors or finished.output).decode("utf-8", "replace").strip()
    return said[:2000] or f"git ended with exit code {finished.exit_code}"
