"""Whatever a model sends: a result, never an exception, and nothing outside changes.

All 52 operations, on real parts, with arguments that fit and that break their schemas.
The families that need a server have theirs in `tests/databases/test_hostile.py`.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.arguments import VALUES, anything, breaking, fitting
from tests.agent.feeding import MANY, feed
from tests.agent.surroundings import Surroundings, children_of_ours, facts, surroundings

from agenttask_agent.tools import files, git
from agenttask_agent.tools.catalogue import CATALOGUE

pytestmark = pytest.mark.usefixtures("as_if_bounded")

PATCH = "--- a/{0}\n+++ b/{0}\n@@ -1 +1,2 @@\n{1}\n+more\n"
PATHS = (
    *("utils.py", "tests/test_utils.py", "crlf.txt", "bom.txt", "binary.bin", "empty", "deep"),
    *(
        "deep/er",
        "tests/new/file.txt",
        "new",
        "utils.py/x",
        "./utils.py",
        "utils.py/",
        "//",
        "link",
    ),
    *(".git", ".GIT/hooks/pre-commit", "git~1", "\u200d.git/x", "deep/../x", "x" * 255, "é" * 200),
    *("tests/../.git/config", "link/shared", "--all", ":(top)", ":/", "-", "[", "deep/*"),
)
FILE_WORDS = {
    "*": PATHS,
    "content": ("", "a\n", "a\r\nb", "\0", "\ud800", "no newline", "\ufeff"),
    "search": ("return", "def", "\n", "one\r\ntwo", "# changed\n"),
    "replace": ("", "x", "\r\n", "\0", "\ud800", "\\1"),
    "pattern": (".*", "def", "--pre=touch x", "-f/etc/passwd", "[", "x{9999}", "(?i)A", "*.py"),
    "extensions": ("py", ".txt", "x" * 20),
    "patch": (
        PATCH.format("crlf.txt", " one"),
        PATCH.format("utils.py", ' """Small functions."""'),
        *(PATCH.format(n, " secret") for n in ("../outside/secret", "link/secret", "hard", "pipe")),
        PATCH.format(".git/config", " [core]"),
        "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n",
        "--- a/empty\n+++ /dev/null\n",
        "diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc\n",
        "diff --git a/utils.py b/../x\nrename from utils.py\nrename to ../x\n",
        "--- a/utils.py\n+++ b/utils.py\n@@ -999999999999,1 +1,99999999999 @@\n x\n",
    ),
}
REFS = (
    *("HEAD", "HEAD~1", "agent", "theirs", "main", "new", "refs/heads/agent", "origin/main"),
    *("HEAD@{0}", "@{-1}", "@{u}", "HEAD:link", ":/Start", "-b", "--detach", "a..b", "a.lock"),
)
GIT_WORDS = {
    "*": REFS,
    **dict.fromkeys(("path", "paths", "files"), PATHS),
    "message": ("Work", "--amend", "# only a comment", "\n\n", "a\0b", "\ud800", "x" * 10_000),
    "author": ("A <a@b.c>", "-x <--amend>", "\ud800 <a@b>", "\n <a@b>", "\u00e9 <\u00e9@x>"),
    "url": ("ext::sh -c touch% x", "file:///etc", "https://127.0.0.1/x.git", "-u", "REMOTE"),
}


@pytest.fixture(scope="module")
def workspace() -> Iterator[Surroundings]:
    with surroundings() as made:
        yield made


@pytest.mark.parametrize("operation", files.OPERATIONS, ids=lambda operation: operation.key)
def test_files(operation, workspace: Surroundings):
    workspace.git_may_change = False
    feed(workspace, operation.key, fitting(operation, FILE_WORDS) | anything(operation))


@pytest.mark.parametrize("operation", git.OPERATIONS, ids=lambda operation: operation.key)
def test_git(operation, workspace: Surroundings):
    workspace.git_may_change = True
    remote = str(workspace.places[1])
    words = {n: [remote if w == "REMOTE" else w for w in ws] for n, ws in GIT_WORDS.items()}
    feed(workspace, operation.key, fitting(operation, words) | anything(operation))


@pytest.mark.parametrize("operation", CATALOGUE, ids=lambda operation: operation.key)
def test_what_breaks_the_schema_is_refused_by_name(operation, workspace: Surroundings):
    """No family needs its server for that: nothing is begun."""
    workspace.git_may_change = False
    workspace.begin_audit()
    workspace.put_back()
    before = workspace.kept(), facts(workspace.tools.root), children_of_ours()

    @MANY
    @given(breaking(operation, FILE_WORDS))
    def check(example: dict[str, Any]) -> None:
        result = workspace.answer(operation.key, example)
        assert (result.error or "").startswith("wrong arguments: "), (example, result)

    check()
    assert (workspace.kept(), facts(workspace.tools.root), children_of_ours()) == before


@MANY
@given(st.text(max_size=100), st.dictionaries(st.text(max_size=10), VALUES, max_size=3))
def test_names(workspace: Surroundings, name: str, arguments: dict[str, Any]):
    assert not workspace.call(name, arguments).ok
