"""Nothing leaves the workspace: links, races, special files, and git's own folder."""

import os
import stat
import threading
from pathlib import Path

import pytest
from tests.agent.toolboxes import Tools

from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.workspace import MAX_WRITE_BYTES, Workspace, split

RACE_ROUNDS = 10_000


@pytest.fixture
def outside(tools: Tools) -> Path:
    """A folder beside the workspace with one file that must neither be read nor changed."""
    folder = tools.root.parent / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("../outside/secret.txt", id="parent"),
        pytest.param("tests/../../outside/secret.txt", id="parent in the middle"),
        pytest.param("utils.py\0.txt", id="nul"),
        pytest.param("link/secret.txt", id="through a linked folder"),
        pytest.param("file-link", id="a link as the last component"),
        pytest.param("./link//secret.txt", id="in another spelling"),
        pytest.param("\udc80", id="half a surrogate"),
        pytest.param("x" * 1000, id="a name longer than the system allows"),
        pytest.param(".git/config", id="git"),
        pytest.param("tests/.GIT/config", id="git in capitals, further down"),
        pytest.param(".git\u200c/config", id="git with a joiner that some systems ignore"),
        pytest.param("GIT~1/config", id="git as a short name"),
    ],
)
def test_no_operation_follows_a_path_outside(tools: Tools, outside: Path, path: str):
    (tools.root / "link").symlink_to(outside)
    (tools.root / "file-link").symlink_to(outside / "secret.txt")
    config = (tools.root / ".git" / "config").read_bytes()
    attempts = [
        tools("files.read_file", path=path),
        tools("files.write_file", path=path, content="changed"),
        tools("files.append_file", path=path, content="changed"),
        tools("files.edit_file", path=path, search="secret", replace="changed"),
        tools("files.search_in_files", path=path, pattern="secret"),
    ]
    assert [result.ok for result in attempts] == [False] * 5
    assert not any("secret" in result.output for result in attempts)
    assert [p.read_text() for p in outside.iterdir()] == ["secret"]
    assert (tools.root / ".git" / "config").read_bytes() == config


def test_a_prefix_of_the_name_is_not_inside(tools: Tools):
    evil = tools.root.parent / f"{tools.root.name}-evil"
    evil.mkdir()
    assert not tools("files.list_files", path=f"../{evil.name}").ok


def test_deleting_a_link_deletes_the_link(tools: Tools, outside: Path):
    (tools.root / "link").symlink_to(outside)
    assert tools("files.delete_file", path="link", recursive=True).ok
    assert (outside / "secret.txt").exists()
    assert not (tools.root / "link").is_symlink()


def test_deleting_a_folder_does_not_follow_links_in_it(tools: Tools, outside: Path):
    (tools.root / "tests" / "link").symlink_to(outside)
    assert tools("files.delete_file", path="tests", recursive=True).ok
    assert (outside / "secret.txt").exists()


@pytest.mark.parametrize("path", [".", "./", ".//."])
def test_the_workspace_itself_is_not_deleted(tools: Tools, path: str):
    assert not tools("files.delete_file", path=path, recursive=True).ok
    assert (tools.root / "utils.py").exists()


def test_a_workspace_without_a_repository_is_not_deleted_either(tmp_path: Path):
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(ToolError, match="the workspace itself"):
        Workspace(tmp_path).delete(".", recursive=True)
    assert (tmp_path / "kept.txt").read_text() == "kept"


def test_the_walls_themselves_have_a_size_limit(tools: Tools):
    with pytest.raises(ToolError, match="more than"):
        tools.workspace.write("big", b"x" * (MAX_WRITE_BYTES + 1))
    assert not (tools.root / "big").exists()


def test_the_walls_themselves_write_no_special_file(tools: Tools):
    os.mkfifo(tools.root / "pipe")
    with pytest.raises(Denied):
        tools.workspace.write("pipe", b"x")
    assert stat.S_ISFIFO((tools.root / "pipe").stat().st_mode)


def test_a_folder_with_a_repository_in_it_is_not_deleted(tools: Tools):
    (tools.root / "vendor" / "lib" / ".git").mkdir(parents=True)
    result = tools("files.delete_file", path="vendor", recursive=True)
    assert (result.ok, result.denied) == (False, True)
    assert (tools.root / "vendor" / "lib" / ".git").exists()


def test_a_hard_linked_file_is_not_written(tools: Tools, outside: Path):
    (tools.root / "hard.txt").hardlink_to(outside / "secret.txt")
    for operation, arguments in (
        ("files.write_file", {"content": "x"}),
        ("files.append_file", {"content": "x"}),
        ("files.edit_file", {"search": "secret", "replace": "x"}),
    ):
        result = tools(operation, path="hard.txt", **arguments)
        assert (result.ok, result.denied) == (False, True), operation
    assert (outside / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize("operation", ["files.read_file", "files.write_file", "files.append_file"])
def test_a_fifo_neither_blocks_nor_works(tools: Tools, operation: str):
    os.mkfifo(tools.root / "pipe")
    arguments = {} if operation == "files.read_file" else {"content": "x"}
    assert not tools(operation, path="pipe", **arguments).ok
    assert stat.S_ISFIFO((tools.root / "pipe").stat().st_mode)


def test_a_folder_cannot_be_written_as_a_file(tools: Tools):
    assert not tools("files.write_file", path="tests", content="x").ok
    assert (tools.root / "tests" / "test_utils.py").exists()


def test_no_temporary_file_is_left(tools: Tools):
    tools("files.write_file", path="a.txt", content="x")
    tools("files.write_file", path="tests", content="x")
    names = {path.name for path in tools.root.iterdir()}
    assert names == {".git", "a.txt", "conftest.py", "tests", "utils.py"}


def test_a_folder_swapped_for_a_link_leads_nowhere(tools: Tools, outside: Path):
    """10,000 swaps while a file below is read and written: never a byte from outside."""
    inside = tools.root / "swap"
    inside.mkdir()
    (inside / "secret.txt").write_text("inside")
    (outside / "inside.txt").write_text("untouched")
    done = threading.Event()
    swapper = threading.Thread(target=_swap, args=(inside, outside, done))
    swapper.start()
    seen = _attack(tools.workspace, done)
    swapper.join()
    assert seen <= {b"inside", b"written"}
    assert (outside / "secret.txt").read_text() == "secret"
    assert sorted(path.name for path in outside.iterdir()) == ["inside.txt", "secret.txt"]


def _swap(inside: Path, outside: Path, done: threading.Event) -> None:
    away = inside.with_name("away")
    link = inside.with_name("link")
    link.symlink_to(outside)
    for _ in range(RACE_ROUNDS):
        inside.rename(away)
        link.rename(inside)
        inside.rename(link)
        away.rename(inside)
    done.set()


def _attack(workspace: Workspace, done: threading.Event) -> set[bytes]:
    seen = set()
    while not done.is_set():
        try:
            seen.add(workspace.read("swap/secret.txt"))
            workspace.write("swap/secret.txt", b"written")
            workspace.make_folder("swap/folder")
            workspace.delete("swap/folder", recursive=True)
        except ToolError:
            continue
    return seen


@pytest.mark.parametrize(
    ("path", "parts"),
    [("a/b", ["a", "b"]), ("./a//b/", ["a", "b"]), (".", []), (".gitignore", [".gitignore"])],
)
def test_split_accepts_ordinary_paths(path: str, parts: list[str]):
    assert split(path) == parts


@pytest.mark.parametrize("path", ["..", "a/../b", "/", ".git", "a/.Git/x", ".git.", ".git::$INDEX"])
def test_split_refuses(path: str):
    with pytest.raises(Denied):
        split(path)
