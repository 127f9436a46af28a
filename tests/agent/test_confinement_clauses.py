"""Every clause of the confinement is held by a test: without it, that test fails.

Each clause is made permissive in a copy of the package, by a replacement that has to match,
so a clause that is written anew brings its mutation with it or fails here.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import agenttask_agent

ROOT = Path(__file__).parents[2]
PACKAGE = Path(str(agenttask_agent.__file__)).parent
WALLS, FILES = "tests/agent/test_workspace.py", "tests/agent/test_files.py"
OUTSIDE = f"{WALLS}::test_no_operation_follows_a_path_outside"
STYLE = f"{FILES}::test_edit_file_keeps_how_a_file_is_stored"
FAILED_TESTS = 1
STARTER = """
import sys, agenttask_agent, pytest
first, *arguments = sys.argv[1:]
sys.exit(pytest.main(arguments) if agenttask_agent.__file__.startswith(first) else 99)
"""
pytestmark = [
    pytest.mark.skipif(not os.environ.get("AGENTTASK_SLOW_TESTS"), reason="make test-tools"),
    pytest.mark.timeout(300),
]


@dataclass(frozen=True)
class Clause:
    """One clause: its text in a module of `tools`, the permissive one, and who notices."""

    module: str
    text: str
    permissive: str
    held_by: tuple[str, ...]


CLAUSES = {
    "folders are entered without following": Clause(
        "workspace",
        "DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW |",
        "DIRECTORY = os.O_RDONLY | os.O_DIRECTORY |",
        (f"{OUTSIDE}[through a linked folder]",),
    ),
    "files are opened without following": Clause(
        "workspace",
        "FILE = os.O_RDONLY | os.O_NOFOLLOW |",
        "FILE = os.O_RDONLY |",
        (f"{OUTSIDE}[a link as the last component]",),
    ),
    "no parent": Clause(
        "workspace", 'if ".." in parts:', "if not parts and path:", (f"{OUTSIDE}[parent]",)
    ),
    "nothing absolute": Clause(
        "workspace",
        'if path.startswith("/"):',
        "if not path:",
        (f"{WALLS}::test_split_refuses[/]",),
    ),
    "git at any depth": Clause(
        "workspace",
        "if any(is_git_name(part) for part in parts):",
        "if is_git_name(parts[0] if parts else path):",
        (f"{WALLS}::test_split_refuses[a/.Git/x]",),
    ),
    "git in any case": Clause(
        "workspace", ".casefold()", "", (f"{OUTSIDE}[git in capitals, further down]",)
    ),
    "git in any Unicode form": Clause(
        "workspace",
        "name.translate(IGNORED_BY_SOME_FILESYSTEMS)",
        "name",
        (f"{OUTSIDE}[git with a joiner that some systems ignore]",),
    ),
    "git by its short name": Clause(
        "workspace", '{".git", "git~1"}', '{".git"}', (f"{OUTSIDE}[git as a short name]",)
    ),
    "git with an ending that is dropped": Clause(
        "workspace", '.rstrip(" .")', "", (f"{WALLS}::test_split_refuses[.git.]",)
    ),
    "git as a stream": Clause(
        "workspace",
        ' or plain.split(":", 1)[0] in GIT_NAMES',
        "",
        (f"{WALLS}::test_split_refuses[.git::$INDEX]",),
    ),
    "git below a folder that is deleted": Clause(
        "workspace",
        "is_git_name(n)\n",
        "False\n",
        (f"{WALLS}::test_a_folder_with_a_repository_in_it_is_not_deleted",),
    ),
    "the root is not deleted": Clause(
        "workspace",
        'raise ToolError("this path is the workspace itself; name something inside it")',
        'parts = ["."]',
        (f"{WALLS}::test_a_workspace_without_a_repository_is_not_deleted_either",),
    ),
    "hard links": Clause(
        "workspace",
        "if state.st_nlink > 1:",
        "if state.st_nlink > 99:",
        (f"{WALLS}::test_a_hard_linked_file_is_not_written",),
    ),
    "special files are not read": Clause(
        "workspace",
        "if not stat.S_ISREG(os.fstat(descriptor).st_mode):",
        "if stat.S_ISDIR(os.fstat(descriptor).st_mode):",
        (f"{WALLS}::test_a_fifo_neither_blocks_nor_works[files.read_file]",),
    ),
    "special files are not written": Clause(
        "workspace",
        "if not stat.S_ISREG(state.st_mode):",
        "if stat.S_ISDIR(state.st_mode):",
        (f"{WALLS}::test_the_walls_themselves_write_no_special_file",),
    ),
    "a write replaces the whole": Clause(
        "workspace",
        "os.open(temporary, CREATE, 0o600, dir_fd=place.folder)",
        "os.open(place.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=place.folder)",
        (f"{FILES}::test_a_write_that_ends_in_the_middle_leaves_the_old_file",),
    ),
    "a failed write leaves nothing": Clause(
        "workspace",
        "os.unlink(temporary, dir_fd=place.folder)",
        "pass",
        (f"{FILES}::test_a_write_that_ends_in_the_middle_leaves_the_old_file",),
    ),
    "the mode stays": Clause(
        "workspace",
        "return stat.S_IMODE(state.st_mode) & 0o777",
        "return 0o644",
        (f"{FILES}::test_write_file_keeps_how_a_file_is_stored",),
    ),
    "line endings stay": Clause(
        "textfile",
        'self.text if self.newline == "\\n" else self.text.replace("\\n", self.newline)',
        "self.text",
        (f"{STYLE}[CRLF]",),
    ),
    "the byte order mark stays": Clause(
        "textfile", '(BOM if self.bom else b"")', 'b""', (f"{STYLE}[byte order mark]",)
    ),
    "the final newline stays": Clause(
        "files",
        'glue = "\\n" if old.text.endswith("\\n") and',
        'glue = "\\n" if not old.text and',
        (f"{FILES}::test_write_file_keeps_how_a_file_is_stored",),
    ),
    "no final newline is added": Clause(
        "files", "old.with_text(new.text)", 'old.with_text(new.text + "\\n")', (STYLE,)
    ),
    "what is read has a size": Clause(
        "workspace",
        "if len(content) > MAX_READ_BYTES:",
        "if len(content) > 9 * MAX_READ_BYTES:",
        (f"{FILES}::test_read_file_says_what_it_cannot_show[huge]",),
    ),
    "what is written has a size": Clause(
        "workspace",
        "if len(content) > MAX_WRITE_BYTES:",
        "if len(content) > 9 * MAX_WRITE_BYTES:",
        (f"{WALLS}::test_the_walls_themselves_have_a_size_limit",),
    ),
}


def copied(tmp_path: Path) -> Path:
    """Return a copy of the package, in a folder of its own."""
    copy = tmp_path / "agent" / PACKAGE.name
    return shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))


def test_the_same_tests_pass_on_an_unchanged_copy(tmp_path: Path):
    """Else their failures below would say nothing of the clauses."""
    tests = dict.fromkeys(test for clause in CLAUSES.values() for test in clause.held_by)
    assert outcome(copied(tmp_path).parent, tuple(tests), tmp_path / "tests") == 0


@pytest.mark.parametrize("clause", CLAUSES.values(), ids=CLAUSES.keys())
def test_a_clause_is_held_by_a_test(clause: Clause, tmp_path: Path):
    copy = copied(tmp_path)
    module = copy / "tools" / f"{clause.module}.py"
    text = module.read_text("utf-8")
    assert text.count(clause.text) == 1, "the clause reads otherwise now: adapt its mutation"
    module.write_text(text.replace(clause.text, clause.permissive), "utf-8")
    assert outcome(copy.parent, clause.held_by, tmp_path / "tests") == FAILED_TESTS


def outcome(first: Path, tests: tuple[str, ...], tmp: Path) -> int:
    """Return pytest's exit code with the package in `first` in the place of the installed one."""
    arguments = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp}", *tests]
    return subprocess.run(
        [sys.executable, "-c", STARTER, str(first), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(first), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        timeout=120,
    ).returncode
