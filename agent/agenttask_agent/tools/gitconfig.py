"""Makes a repository's own configuration harmless before git reads it.

`.git/config` can name programs under any number of keys (filters, textconv, hooks,
fsmonitor, signing), and overrides on the command line cannot reach the ones whose
names the repository chooses. So what is not on the list below is removed.
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from agenttask_agent.tools.refusal import ToolError

ALLOWED = re.compile(
    r"core\.(repositoryformatversion|filemode|bare|logallrefupdates|symlinks|ignorecase"
    r"|autocrlf|eol|safecrlf|precomposeunicode)"
    r"|extensions\.objectformat"
    r"|remote\.[A-Za-z0-9._-]+\.(fetch|url|tagopt)"
    r"|branch\.[A-Za-z0-9._/-]+\.(remote|merge)"
    r"|user\.(name|email)|gc\.auto|push\.default"
)
"""Keys as git prints them: section and name in lower case."""
SAFE_URL = re.compile(r"(/|\./|\.\./|file://|https://|ssh://)[^\s]*")
"""No `ext::` and no other transport that is a program."""
MAX_CONFIG_BYTES = 256 * 1024
COMMON_DIR = "commondir"
"""A file in `.git` that would lead git to another folder's configuration."""


class ConfigGuard:
    """Checks one repository; remembers the content it has found good."""

    def __init__(self, git_dir: Path, env: Mapping[str, str], *, bare: bool = False) -> None:
        self._git_dir = git_dir
        self._env = dict(env)
        self._bare = bare
        self._good = ""

    def ensure_safe(self) -> None:
        """Rewrite the configuration if it holds more than it may; raises ToolError."""
        if not stat.S_ISDIR(self._mode(self._git_dir)):
            missing = "remote is no git folder" if self._bare else "workspace has no git folder"
            raise ToolError(f"the {missing} of its own")
        with contextlib.suppress(FileNotFoundError):
            (self._git_dir / COMMON_DIR).unlink()
        content = self._read()
        if hashlib.sha256(content).hexdigest() == self._good:
            return
        if self._entries() != self._allowed():
            self._write(self._allowed())
        self._good = hashlib.sha256(self._read()).hexdigest()

    def _allowed(self) -> list[tuple[str, str]]:
        return [
            (key, value) for key, value in self._entries() if is_allowed(key, value, self._bare)
        ]

    def _entries(self) -> list[tuple[str, str]]:
        """Return all keys and values, read by git itself but not as configuration."""
        answer = subprocess.run(
            ["git", "config", "--file", self._config, "--no-includes", "--null", "--list"],
            cwd="/",
            env=self._env,
            capture_output=True,
            timeout=30,
            check=False,
        )
        if answer.returncode != 0:
            return [("unreadable", "")]
        entries = answer.stdout.decode("utf-8", "replace").split("\0")
        return [_pair(entry) for entry in entries if entry]

    def _read(self) -> bytes:
        if not stat.S_ISREG(self._mode(self._git_dir / "config")):
            self._write([])
        descriptor = os.open(self._config, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise ToolError(".git/config is too large")
        return content

    def _write(self, entries: list[tuple[str, str]]) -> None:
        temporary = self._git_dir / f"config.{secrets.token_hex(8)}"
        bare = "true" if self._bare else "false"
        lines = [f"[core]\n\trepositoryformatversion = 0\n\tbare = {bare}\n"]
        lines += [_line(key, value) for key, value in entries]
        temporary.write_text("".join(lines), encoding="utf-8")
        temporary.replace(self._config)

    def _mode(self, path: Path) -> int:
        try:
            return path.lstat().st_mode
        except FileNotFoundError:
            return 0

    @property
    def _config(self) -> str:
        return str(self._git_dir / "config")


def is_allowed(key: str, value: str, bare: bool = False) -> bool:
    """Say whether an entry can make git do nothing but what it should."""
    if not ALLOWED.fullmatch(key) or "\n" in value:
        return False
    if key.endswith(".url"):
        return bool(SAFE_URL.fullmatch(value)) and "::" not in value
    return key != "core.bare" or value == ("true" if bare else "false")


def _pair(entry: str) -> tuple[str, str]:
    key, _, value = entry.partition("\n")
    return key, value


def _line(key: str, value: str) -> str:
    section, _, name = key.rpartition(".")
    family, _, rest = section.partition(".")
    header = f'[{family} "{rest}"]' if rest else f"[{family}]"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{header}\n\t{name} = "{quoted}"\n'
