"""The one way the courier runs git: fixed arguments, an environment made from nothing.

Not through GitPython: its command layer starts from `os.environ`, holds whole outputs
in memory and kills one process instead of the group, and each of the three matters
here. The repository is always named by `--git-dir`, so nothing is discovered and no
folder an agent wrote to is ever a work tree.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HARDENED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.bigFileThreshold=32m",
    "core.pager=cat",
    "credential.helper=",
    "diff.external=",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "transfer.fsckObjects=true",
    # Old, harmless faults in the history of well-known repositories.
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.missingSpaceBeforeEmail=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
)
DEFAULT_TIMEOUT_SECONDS = 120.0
MAX_OUTPUT_BYTES = 32 * 1024 * 1024
MAX_ERROR_BYTES = 16 * 1024
ALLOCATION_LIMIT = "512m"
"""Largest single allocation of git: a hostile pack must not take the pod's memory."""
_PATH = "/usr/local/bin:/usr/bin:/bin"


class GitFailed(Exception):
    """git ended with another status than 0."""

    def __init__(self, command: str, status: int, stderr: str, stdout: bytes = b"") -> None:
        super().__init__(f"git {command} ended with {status}: {stderr.strip()[-500:]}")
        self.command = command
        self.status = status
        self.stderr = stderr
        self.stdout = stdout


class GitTimeout(GitFailed):
    """git was killed at its timeout."""


class GitOutputTooLarge(GitFailed):
    """git wrote more than the caller can take."""


@dataclass(frozen=True)
class Git:
    """One repository, and how its git processes start."""

    git_dir: Path
    tmp: Path
    """A folder of the courier's own, for outputs."""
    environment: Mapping[str, str] = field(default_factory=dict)
    config: tuple[str, ...] = ()
    settings: tuple[str, ...] = HARDENED
    """Before `config`; other than these only where a user's own git is wanted."""
    path: str = field(default_factory=lambda: os.environ.get("PATH", _PATH))

    def run(
        self,
        command: str,
        *arguments: str,
        stdin: bytes | IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        extra: Mapping[str, str] | None = None,
        config: Sequence[str] = (),
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        max_output: int = MAX_OUTPUT_BYTES,
    ) -> bytes:
        """Run one git command and return its output; raises GitFailed or a kind of it.

        `stdout` takes the output instead. Children are killed with git at the timeout,
        in seconds.
        """
        argv = self._argv(command, arguments, config)
        with tempfile.TemporaryFile(dir=self.tmp) as errors:
            output = stdout or tempfile.TemporaryFile(dir=self.tmp)  # noqa: SIM115
            try:
                status = self._execute(
                    argv, _as_file(stdin, self.tmp), output, errors, extra, timeout
                )
                stderr = _head(errors, MAX_ERROR_BYTES).decode("utf-8", "replace")
                if stdout is not None:
                    _check(command, status, stderr, b"")
                    return b""
                return _checked_output(command, status, stderr, output, max_output)
            finally:
                if stdout is None:
                    output.close()

    def text(self, command: str, *arguments: str) -> str:
        """Run a command that prints one line and return that line."""
        return self.run(command, *arguments).decode("utf-8", "replace").strip()

    def _argv(self, command: str, arguments: Sequence[str], config: Sequence[str]) -> list[str]:
        settings = [a for c in (*self.settings, *self.config, *config) for a in ("-c", c)]
        return ["git", f"--git-dir={self.git_dir}", *settings, command, *arguments]

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        return {
            "PATH": self.path,
            "HOME": str(self.tmp),
            "TMPDIR": str(self.tmp),
            "LANG": "C.UTF-8",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ALLOC_LIMIT": ALLOCATION_LIMIT,
            **self.environment,
            **(extra or {}),
        }

    def _execute(
        self,
        argv: list[str],
        stdin: IO[bytes] | int,
        stdout: IO[bytes],
        stderr: IO[bytes],
        extra: Mapping[str, str] | None,
        timeout: float,
    ) -> int:
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=self._environment(extra),
            cwd=self.tmp,
            start_new_session=True,
        )
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise GitTimeout(argv[-1], -1, f"no end after {timeout:.0f} s") from error
        finally:
            _kill_group(process)
            if not isinstance(stdin, int):
                stdin.close()


def _as_file(stdin: bytes | IO[bytes] | None, tmp: Path) -> IO[bytes] | int:
    if stdin is None:
        return subprocess.DEVNULL
    if not isinstance(stdin, bytes):
        return os.fdopen(os.dup(stdin.fileno()), "rb")
    source = tempfile.TemporaryFile(dir=tmp)  # noqa: SIM115
    source.write(stdin)
    source.seek(0)
    return source


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: only zombies left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _head(file: IO[bytes], limit: int) -> bytes:
    file.seek(0)
    return file.read(limit)


def _check(command: str, status: int, stderr: str, stdout: bytes) -> None:
    if status != 0:
        raise GitFailed(command, status, stderr, stdout)


def _checked_output(
    command: str, status: int, stderr: str, output: IO[bytes], max_output: int
) -> bytes:
    data = _head(output, max_output + 1)
    _check(command, status, stderr, data)
    if len(data) > max_output:
        raise GitOutputTooLarge(command, status, f"more than {max_output} bytes of output")
    return data
