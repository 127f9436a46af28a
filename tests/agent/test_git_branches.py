"""Branches, restore and blame on real repositories."""

from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.projects import git
from tests.agent.toolboxes import Tools

pytestmark = pytest.mark.usefixtures("as_if_bounded")


def commit(root: Path, name: str, text: str) -> str:
    """Commit a file and return the commit."""
    (root / name).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", f"--message=Change {name}")
    return git(root, "rev-parse", "HEAD")


def test_checkout_creates_and_switches(tools: Tools):
    assert tools("git.checkout", branch="feature/x.1", create=True).output.endswith("feature/x.1")
    commit(tools.root, "new.txt", "new\n")
    assert tools("git.checkout", branch="agent").ok
    assert not (tools.root / "new.txt").exists()
    assert tools("git.checkout", branch="feature/x.1").edited
    assert (tools.root / "new.txt").exists()


def test_checkout_fails_as_git_fails(tools: Tools):
    assert "missing" in str(tools("git.checkout", branch="missing").error)
    assert "already exists" in str(tools("git.checkout", branch="agent", create=True).error)
    tools("git.checkout", branch="other", create=True)
    commit(tools.root, "utils.py", "other\n")
    (tools.root / "utils.py").write_text("not saved\n")
    assert not tools("git.checkout", branch="agent").ok
    assert (tools.root / "utils.py").read_text() == "not saved\n"


NOT_NAMES = ["--orphan=x", "-f", "HEAD", "a..b", "a b", "a.lock", "/a", "a/", "@{-1}", "a\nb",
             "a:b", "a~1", "$(touch x)", ".a", "a//b", "refs/../x", "-"]  # fmt: skip


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_name_of_a_branch_is_never_an_option(tools: Tools, name: str):
    before = git(tools.root, "for-each-ref")
    for operation, arguments in (
        ("git.checkout", {"branch": name}),
        ("git.checkout", {"branch": name, "create": True}),
        ("git.branch", {"delete": name}),
    ):
        assert not tools(operation, **arguments).ok
    assert git(tools.root, "for-each-ref") == before
    assert git(tools.root, "symbolic-ref", "HEAD") == "refs/heads/agent"


def test_branches_are_listed_and_merged_ones_deleted(tools: Tools):
    tools("git.checkout", branch="done", create=True)
    tools("git.checkout", branch="agent")
    git(tools.root, "update-ref", "refs/remotes/origin/main", "HEAD")
    listed = tools("git.branch").output
    assert "* agent" in listed
    assert "done" in listed
    assert "origin/main" not in listed
    assert "origin/main" in tools("git.branch", list_all=True).output
    assert tools("git.branch", delete="done").ok
    assert "not found" in str(tools("git.branch", delete="done").error)
    assert not tools("git.branch", delete="agent").ok, "the current one"


def test_a_branch_with_work_on_it_is_not_deleted(tools: Tools):
    tools("git.checkout", branch="work", create=True)
    commit(tools.root, "new.txt", "new\n")
    tools("git.checkout", branch="agent")
    assert "not fully merged" in str(tools("git.branch", delete="work").error)


@pytest.mark.parametrize("options", [{"read_only": True}, {"role": "QA"}, {"role": "ARCHITECT"}])
def test_who_only_reads_may_list_but_not_delete(make_tools: MakeTools, options):
    tools = make_tools(**options)
    git(tools.root, "branch", "done")
    assert tools("git.branch", list_all=True).ok
    result = tools("git.branch", delete="done")
    assert (result.ok, result.denied) == (False, True)
    assert "done" in git(tools.root, "branch", "--list")
    assert tools.audit.entries[-1]["denied"] is True


def test_restore_takes_back_what_it_is_told(tools: Tools):
    (tools.root / "utils.py").write_text("changed\n")
    tools("git.add", paths="all")
    assert tools("git.restore", paths=["utils.py"], staged=True).ok
    assert git(tools.root, "diff", "--cached", "--name-only") == ""
    assert (tools.root / "utils.py").read_text() == "changed\n"
    assert tools("git.restore", paths=["utils.py"]).edited
    assert "def add" in (tools.root / "utils.py").read_text()


@pytest.mark.parametrize("path", ["missing", "--staged", "*", ":/", "-s", ":(top)utils.py"])
def test_restore_takes_paths_literally(tools: Tools, path: str):
    (tools.root / "utils.py").write_text("changed\n")
    assert not tools("git.restore", paths=[path]).ok
    assert (tools.root / "utils.py").read_text() == "changed\n"
    assert not tools("git.restore", paths=[]).ok
    assert tools("git.restore", paths=["../x"]).denied


def test_restore_writes_through_no_link(tools: Tools, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "test_utils.py").write_text("outside")
    (tools.root / "tests").rename(tools.root / "moved")
    (tools.root / "tests").symlink_to(outside)
    tools("git.restore", paths=["tests"])
    assert (outside / "test_utils.py").read_text() == "outside"


def test_blame_shows_the_commit_of_each_line(tools: Tools):
    first = git(tools.root, "rev-parse", "--short=8", "HEAD")
    second = commit(tools.root, "utils.py", (tools.root / "utils.py").read_text() + "x = 1\n")
    lines = tools("git.blame", path="utils.py").output.splitlines()
    assert lines[0].lstrip("^").startswith(first[:7])
    assert lines[-1].startswith(second[:8])
    assert len(tools("git.blame", path="utils.py", start=2, end=3).output.splitlines()) == 2
    for wrong in ({"start": 9999}, {"start": 3, "end": 2}):
        assert not tools("git.blame", path="utils.py", **wrong).ok


@pytest.mark.parametrize("path", ["--contents=/etc/passwd", "-S/etc/passwd", "missing", "../x"])
def test_blame_takes_a_path_and_no_option(tools: Tools, path: str):
    result = tools("git.blame", path=path)
    assert not result.ok
    assert "root" not in str(result.error)


def test_blame_reads_through_no_link(tools: Tools, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "test_utils.py").write_text("secret\n")
    (tools.root / "tests").rename(tools.root / "moved")
    (tools.root / "tests").symlink_to(tmp_path / "outside")
    assert "secret" not in tools("git.blame", path="tests/test_utils.py").output
