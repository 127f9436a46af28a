"""Real git repositories to work on."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

UTILS = '''"""Small functions."""


def add(a, b):
    return a + b


def slugify(text):
    """Return the text in lower case with dashes for spaces."""
    words = text.lower().split()
    return "-".join(words)
'''
TEST_UTILS = """from utils import add, slugify


def test_add():
    assert add(2, 3) == 5


def test_slugify():
    assert slugify("Hello  World") == "hello-world"
"""
TEST_HELLO = """import utils


def test_hello_world():
    assert utils.hello_world() == "Hello, World!"
"""
PROJECT = {
    "utils.py": UTILS,
    "tests/test_utils.py": TEST_UTILS,
    "tests/test_hello.py": TEST_HELLO,
    "conftest.py": "",
}
HOOKS = (
    "pre-commit",
    "commit-msg",
    "post-commit",
    "post-index-change",
    "post-checkout",
    "post-merge",
    "post-rewrite",
    "pre-merge-commit",
    "pre-push",
    "pre-rebase",
    "pre-receive",
    "proc-receive",
    "update",
    "post-receive",
    "post-update",
    "push-to-checkout",
    "reference-transaction",
    "prepare-commit-msg",
    "fsmonitor-watchman",
)
GIT_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@example.org" for who in ("AUTHOR", "COMMITTER")},
}


def git(root: Path, *argv: str) -> str:
    """Run plain git, as a developer would, and return its output."""
    command = ["git", "-c", "protocol.file.allow=always", *argv]
    done = subprocess.run(
        command, cwd=root, env=GIT_ENV, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def make_repository(root: Path, files: Mapping[str, str] = PROJECT) -> Path:
    """Make a repository with one commit on branch `agent` and return its root."""
    root.mkdir(parents=True)
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    git(root, "init", "--quiet", "--initial-branch=agent")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Start")
    return root


def make_remote(root: Path, repository: Path) -> Path:
    """Make the bare remote of a repository, as the courier lays both out in a pod."""
    root.mkdir()
    git(root, "init", "--quiet", "--bare", "--template=", "--initial-branch=main")
    git(repository, "push", "--quiet", str(root), "agent:refs/heads/main")
    for key, value in {
        "remote.origin.url": str(root),
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
        "branch.agent.remote": "origin",
        "branch.agent.merge": "refs/heads/main",
        "push.default": "current",
        "gc.auto": "0",
    }.items():
        git(repository, "config", key, value)
    git(repository, "update-ref", "refs/remotes/origin/main", "HEAD")
    return root


def planted_hooks(folder: Path, command: Path) -> None:
    """Put a program into every hook there is."""
    folder.mkdir(exist_ok=True)
    for hook in HOOKS:
        path = folder / hook
        path.write_bytes(command.read_bytes())
        path.chmod(0o755)
