"""The git family, and that a hostile repository makes it run nothing."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.projects import git, make_remote, planted_hooks
from tests.agent.toolboxes import Tools

from agenttask_agent.harvest import bring_in, subject_of
from agenttask_agent.tools.gitconfig import is_allowed
from agenttask_agent.tools.remotes import Remotes

pytestmark = pytest.mark.usefixtures("as_if_bounded")

OPERATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("git.status", {}),
    ("git.status", {"short": True}),
    ("git.diff", {}),
    ("git.diff", {"cached": True}),
    ("git.add", {"paths": "all"}),
    ("git.diff", {"cached": True, "files": ["utils.py"]}),
    ("git.commit", {"message": "Work"}),
    ("git.log", {}),
    ("git.show", {"ref": "HEAD"}),
    ("git.show", {"ref": "HEAD", "path": "utils.py"}),
    ("git.blame", {"path": "utils.py"}),
    ("git.restore", {"paths": ["utils.py"]}),
    ("git.restore", {"paths": ["."], "staged": True}),
    ("git.branch", {"list_all": True}),
    ("git.checkout", {"branch": "work", "create": True}),
    ("git.checkout", {"branch": "agent"}),
    ("git.branch", {"delete": "work"}),
    ("git.push", {}),
    ("git.push", {"force": True}),
    ("git.fetch", {}),
    ("git.fetch", {"ref": "theirs"}),
    ("git.pull", {"branch": "theirs"}),
    ("git.clone", {"url": "REMOTE", "branch": "theirs", "depth": 1}),
)


@pytest.fixture
def tools(make_tools: MakeTools, tmp_path: Path) -> Tools:
    """Workspace and remote as in a pod; the remote has a branch with more work on it."""
    made = make_tools(remotes=Remotes((str(tmp_path / "remote.git"),)))
    remote = make_remote(tmp_path / "remote.git", made.root)
    git(made.root, "switch", "--quiet", "--create", "theirs")
    (made.root / "theirs.txt").write_text("theirs\n")
    (made.root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    git(made.root, "add", "--all")
    git(made.root, "commit", "--quiet", "--message=Theirs")
    git(made.root, "push", "--quiet", str(remote), "theirs")
    git(made.root, "switch", "--quiet", "agent")
    return made


def attempt(tools: Tools, operation: str, arguments: dict[str, Any]) -> bool:
    """Call an operation that may want the remote's address; return whether it worked."""
    url = str(tools.root.with_name("remote.git"))
    return tools(operation, **{k: url if v == "REMOTE" else v for k, v in arguments.items()}).ok


@pytest.fixture
def marker(tools: Tools) -> Path:
    """A file that only a planted command creates."""
    return tools.root.parent / "marker"


@pytest.fixture
def command(marker: Path) -> Path:
    """A program that leaves its mark and passes its input on."""
    program = marker.with_name("planted.sh")
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    return program


def plant(root: Path, command: Path) -> None:
    """Turn a repository against whoever runs git in it."""
    for key in (
        "core.fsmonitor",
        "core.editor",
        "core.pager",
        "core.sshCommand",
        "diff.external",
        "gpg.program",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "diff.evil.textconv",
        "diff.evil.command",
        "merge.evil.driver",
        "interactive.diffFilter",
        "sequence.editor",
        "pager.status",
        "pager.log",
        "alias.status",
        "trailer.x.command",
        "credential.helper",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "remote.origin.vcs",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "submodule.vendor.update",
    ):
        git(root, "config", key, f"!{command}" if key == "alias.status" else str(command))
    git(root, "config", "commit.gpgSign", "true")
    git(root, "config", "include.path", str(command.with_name("more.config")))
    command.with_name("more.config").write_text(f"[core]\n\tfsmonitor = {command}\n")
    (root / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (root / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n")
    planted_hooks(root / ".git" / "hooks", command)


def plant_remote(remote: Path, command: Path) -> None:
    """Turn a bare repository against whoever pushes to it and fetches from it."""
    command.write_bytes(command.read_bytes().replace(b"cat\n", b""))  # Input may never end.
    for key in (
        "core.alternateRefsCommand",
        "uploadpack.packObjectsHook",
        "receive.procReceiveRefs",
        "core.fsmonitor",
        "core.sshCommand",
        "filter.evil.smudge",
        "gpg.program",
    ):
        git(remote, "config", key, str(command))
    git(remote, "config", "core.hooksPath", str(remote / "hooks"))
    (remote / "objects" / "info").mkdir(exist_ok=True)
    objects = remote.with_name("repo") / ".git" / "objects"
    (remote / "objects" / "info" / "alternates").write_text(f"{objects}\n")
    planted_hooks(remote / "hooks", command)


def test_the_plants_work_in_plain_git(tools: Tools, command: Path, marker: Path):
    """Without this the next test would prove nothing."""
    plant(tools.root, command)
    (tools.root / "utils.py").write_text("changed\n")
    git(tools.root, "-c", "alias.status=", "status")
    assert marker.exists()


def test_the_remotes_plants_work_in_plain_git(tools: Tools, command: Path, marker: Path):
    """As above, for the repository on the other side."""
    remote = tools.root.with_name("remote.git")
    plant_remote(remote, command)
    git(tools.root, "push", "--quiet", str(remote), "agent:refs/heads/plain")
    assert marker.exists()


def test_no_operation_runs_a_planted_command(tools: Tools, command: Path, marker: Path):
    worked = set()
    for operation, arguments in OPERATIONS:
        plant(tools.root, command)
        plant_remote(tools.root.with_name("remote.git"), command)
        (tools.root / "utils.py").write_text(f"x = {operation!r}\n")
        worked |= {operation} if attempt(tools, operation, arguments) else set()
        assert not marker.exists(), operation
    assert worked == {operation for operation, _ in OPERATIONS}


@pytest.mark.parametrize("dirty", [False, True])
def test_a_switch_between_filtered_branches_runs_nothing(
    tools: Tools, command: Path, marker: Path, dirty: bool
):
    """Smudge, clean, post-checkout and post-merge: as checkout and stash meet them."""
    for branch in ("theirs", "agent", "theirs"):
        plant(tools.root, command)
        (tools.root / ".gitattributes").unlink()
        if dirty:
            (tools.root / "loose.txt").write_text("x\n")
        tools("git.checkout", branch=branch)
        assert not marker.exists(), branch


def test_the_harvest_runs_no_planted_command(tools: Tools, command: Path, marker: Path, tmp_path):
    base = git(tools.root, "rev-parse", "HEAD")
    plant(tools.root, command)
    (tools.root / "utils.py").write_text("changed\n")
    repository = tools.toolbox.context.repository
    harvest = bring_in(repository, base, "Work", tmp_path / "bundle")
    assert harvest.commit
    assert harvest.problem == ""
    assert not marker.exists()


def test_a_nested_repository_runs_nothing_either(tools: Tools, command: Path, marker: Path):
    nested = tools.root / "vendor"
    nested.mkdir()
    git(nested, "init", "--quiet")
    (nested / "x").write_text("x\n")
    git(nested, "add", "--all")
    git(nested, "commit", "--quiet", "--message=Nested")
    git(tools.root, "add", "--all")
    git(tools.root, "commit", "--quiet", "--message=With a nested repository")
    (tools.root / ".gitmodules").write_text(
        '[submodule "vendor"]\n\tpath = vendor\n\turl = ./vendor\n\tignore = none\n'
    )
    for operation, arguments in OPERATIONS:
        plant(nested, command)
        git(tools.root, "config", "submodule.vendor.active", "true")
        git(tools.root, "config", "submodule.vendor.ignore", "none")
        (nested / "x").write_text(f"{operation}\n")
        (tools.root / "utils.py").write_text(f"x = {operation!r}\n")
        attempt(tools, operation, arguments)
        assert not marker.exists(), operation


def test_a_git_folder_that_points_elsewhere_is_not_followed(
    tools: Tools, command: Path, marker: Path
):
    elsewhere = tools.root.parent / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init", "--quiet")
    plant(elsewhere, command)
    (tools.root / ".git" / "commondir").write_text(str(elsewhere / ".git"))
    assert tools("git.status").ok
    (tools.root / ".git").rename(tools.root.parent / "moved")
    (tools.root / ".git").write_text(f"gitdir: {elsewhere / '.git'}\n")
    assert not tools("git.status").ok
    (tools.root / ".git").unlink()
    (tools.root / ".git").symlink_to(elsewhere / ".git")
    assert not tools("git.status").ok
    (tools.root / ".git").unlink()
    git(tools.root.parent, "init", "--quiet")
    plant(tools.root.parent, command)
    assert not tools("git.status").ok, "a repository further up is not ours"
    assert not marker.exists()


def test_config_that_cannot_be_read_is_replaced(tools: Tools):
    config = tools.root / ".git" / "config"
    for broken in (b"[core\n", b"\0\1\2", b"[core]\n\tworktree = /etc\n\tbare = true\n"):
        config.write_bytes(broken)
        assert tools("git.status").ok, broken
    config.unlink()
    config.symlink_to("/etc/passwd")
    assert tools("git.status").ok
    assert not config.is_symlink()


def test_the_couriers_configuration_is_not_touched(tools: Tools):
    """Else a read-only run would change its workspace."""
    before = (tools.root / ".git" / "config").read_bytes()
    assert tools("git.status").ok
    assert (tools.root / ".git" / "config").read_bytes() == before


def test_harmless_configuration_is_kept(tools: Tools):
    git(tools.root, "config", "remote.origin.url", "/workspace/remote.git")
    git(tools.root, "config", "core.autocrlf", "input")
    git(tools.root, "config", "core.fsmonitor", "true")
    tools("git.status")
    assert git(tools.root, "config", "remote.origin.url") == "/workspace/remote.git"
    assert git(tools.root, "config", "core.autocrlf") == "input"
    assert "fsmonitor" not in (tools.root / ".git" / "config").read_text()


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("remote.origin.url", "/workspace/remote.git", True),
        ("remote.origin.url", "https://git.example/x.git", True),
        ("remote.origin.url", "ext::sh -c touch% x", False),
        ("remote.origin.uploadpack", "touch x", False),
        ("branch.agent.merge", "refs/heads/agent", True),
        ("core.bare", "true", False),
        ("core.worktree", "/", False),
        ("filter.lfs.clean", "git-lfs clean", False),
        ("user.name", "a\n[core]\n\tfsmonitor=x", False),
        ("extensions.worktreeconfig", "true", False),
    ],
)
def test_the_list_of_allowed_configuration(key: str, value: str, allowed: bool):
    assert is_allowed(key, value) is allowed


@pytest.mark.parametrize(
    "ref",
    [
        "--output=marker",
        "-O/etc",
        "HEAD --output=x",
        "HEAD..HEAD",
        ":/x",
        "HEAD:utils.py",
        "x y",
        "--end-of-options",
        "@{u\n}",
        "$(touch marker)",
        "missing",
    ],
)
def test_a_ref_is_never_an_option(tools: Tools, ref: str):
    before = sorted(path.name for path in tools.root.iterdir())
    assert not tools("git.show", ref=ref).ok
    assert sorted(path.name for path in tools.root.iterdir()) == before


@pytest.mark.parametrize("path", ["--all", "-f", ":(exclude)x", ":/", "*"])
def test_a_path_is_never_an_option_or_a_pattern(tools: Tools, path: str):
    (tools.root / "new.txt").write_text("x")
    assert not tools("git.add", paths=[path]).ok
    assert git(tools.root, "diff", "--cached", "--name-only") == ""


def test_a_message_is_never_an_option(tools: Tools):
    (tools.root / "new.txt").write_text("x")
    tools("git.add", paths=["new.txt"])
    assert tools("git.commit", message="--amend --author=x").ok
    assert git(tools.root, "log", "-1", "--format=%s") == "--amend --author=x"


def test_add_commit_log_show(tools: Tools):
    (tools.root / "a.txt").write_text("a\n")
    (tools.root / "b.txt").write_text("b\n")
    assert tools("git.add", paths=["a.txt"]).ok
    done = tools("git.commit", message="Add a\n\nBecause.")
    assert done.metadata["commit"] == git(tools.root, "rev-parse", "HEAD")
    assert git(tools.root, "show", "--name-only", "--format=", "HEAD") == "a.txt"
    assert "Add a" in tools("git.log", oneline=True, max_count=1).output
    assert "+a" in tools("git.show", ref="HEAD").output
    assert tools("git.show", ref="HEAD~1", path="utils.py").output.startswith('"""Small')
    assert "?? b.txt" in tools("git.status", short=True).output
    assert "b.txt" in tools("git.diff").output


def test_commit_uses_the_tasks_author_unless_told(tools: Tools):
    for author, expected in ((None, "AgentTask <a@b.invalid>"), ("Eve <e@x.org>", "Eve <e@x.org>")):
        (tools.root / "a.txt").write_text(str(author))
        tools("git.add", paths="all")
        arguments = {"author": author} if author else {}
        assert tools("git.commit", message="m", **arguments).ok
        assert git(tools.root, "log", "-1", "--format=%an <%ae>") == expected


def test_commit_without_changes_is_a_failure(tools: Tools):
    result = tools("git.commit", message="nothing")
    assert (result.ok, result.exit_code) == (False, 1)
    assert "nothing to commit" in str(result.error)


@pytest.mark.parametrize(
    ("operation", "arguments", "words"),
    [
        ("git.log", {}, "does not have any commits"),
        ("git.show", {"ref": "HEAD"}, "there is no 'HEAD'"),
        ("git.diff", {"files": ["../x"]}, "paths stay inside the workspace"),
        ("git.diff", {"cached": True}, "index file"),
        ("git.status", {}, "index file"),
        ("git.add", {"paths": ["missing"]}, "did not match"),
    ],
)
def test_a_failure_says_what_git_said(tools: Tools, operation: str, arguments, words: str):
    if "index" in words:
        (tools.root / ".git" / "index").write_bytes(b"nonsense, but long enough to be an index")
    elif operation in ("git.log", "git.show"):
        git(tools.root, "switch", "--quiet", "--orphan", "empty")
    result = tools(operation, **arguments)
    assert not result.ok
    assert words in str(result.error)


def test_all_kinds_of_changes_are_added_as_git_adds_them(tools: Tools):
    """A folder that became a link, a file that became a folder, odd names, many of them."""
    root = tools.root
    (root / "tests").rename(root / "checks")
    (root / "tests").symlink_to("checks")
    (root / "conftest.py").unlink()
    (root / "conftest.py").mkdir()
    (root / "conftest.py" / "x").write_text("x\n")
    (root / "utils.py").chmod(0o755)
    for name in (b"-f", b":(top)x", b"a\nb", b"\xff\xfe", "\u00fc".encode()):
        (root / os.fsdecode(name)).write_text("x\n", encoding="utf-8")
    (root / "many").mkdir()
    for number in range(1200):
        (root / "many" / f"{number:0100d}").write_text("")
    assert tools("git.add", paths="all").ok
    ours = git(root, "ls-files", "--stage")
    git(root, "add", "--all")
    assert git(root, "ls-files", "--stage") == ours
    assert git(root, "status", "--porcelain").count("\n") > 1200
    assert "?? " not in git(root, "status", "--porcelain")


def test_adding_a_deleted_file(tools: Tools):
    (tools.root / "conftest.py").unlink()
    assert tools("git.add", paths=["conftest.py"]).ok
    assert git(tools.root, "diff", "--cached", "--name-status") == "D\tconftest.py"


def test_git_sees_nothing_of_our_environment(make_tools: MakeTools, monkeypatch, tmp_path):
    """GitPython passes its own environment on; `env -i` must take it away again."""
    marker = tmp_path / "marker"
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {marker}")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    tools = make_tools()
    (tools.root / "utils.py").write_text("changed\n")
    assert "+changed" in tools("git.diff").output
    assert not marker.exists()


def test_the_bundle_holds_the_models_commits_and_the_rest(tools: Tools, tmp_path: Path):
    base = git(tools.root, "rev-parse", "HEAD")
    (tools.root / "a.txt").write_text("a\n")
    tools("git.add", paths="all")
    tools("git.commit", message="By the model")
    (tools.root / "b.txt").write_text("b\n")
    harvest = bring_in(tools.toolbox.context.repository, base, "The rest", tmp_path / "bundle")
    assert git(tools.root, "log", "--format=%s", f"{base}..HEAD") == "The rest\nBy the model"
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", str(tools.root), str(other))
    git(other, "reset", "--quiet", "--hard", base)
    git(other, "fetch", "--quiet", str(harvest.bundle), "HEAD")
    assert git(other, "rev-parse", "FETCH_HEAD") == harvest.commit


def test_a_stale_lock_does_not_stop_the_harvest(tools: Tools, tmp_path: Path):
    base = git(tools.root, "rev-parse", "HEAD")
    (tools.root / ".git" / "index.lock").touch()
    (tools.root / "a.txt").write_text("a\n")
    harvest = bring_in(tools.toolbox.context.repository, base, "Rest", tmp_path / "bundle")
    assert (harvest.problem, bool(harvest.commit)) == ("", True)


def test_a_broken_repository_is_a_problem_and_not_a_crash(tools: Tools, tmp_path: Path):
    base = git(tools.root, "rev-parse", "HEAD")
    (tools.root / ".git" / "HEAD").write_text("nonsense")
    harvest = bring_in(tools.toolbox.context.repository, base, "Rest", tmp_path / "bundle")
    assert harvest.commit is None
    assert "not committed" in harvest.problem


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("# Add x\n\nmore", "Add x"),
        ("\n\n", "Work on the task"),
        ("y" * 100, "y" * 69 + "..."),
        ("a\tb\x1bc", "a b c"),
    ],
)
def test_the_subject_comes_from_the_task(prompt: str, subject: str):
    assert subject_of(prompt) == subject
