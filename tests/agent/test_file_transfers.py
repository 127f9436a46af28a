"""diff_files, copy_file, move_file and apply_patch on real files."""

import os
from pathlib import Path

import pytest
from tests.agent.toolboxes import Tools

BOM = b"\xef\xbb\xbf"
NEW = "--- /dev/null\n+++ b/sub/new.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n"
CHANGE = "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret\n")
    return folder


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file with mode and content, links as what they say."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and ".git" not in path.parts
    }


def test_two_files_are_compared(tools: Tools):
    (tools.root / "a.txt").write_text("a\nb\nc\n")
    (tools.root / "b.txt").write_text("a\nB\nc\n")
    result = tools("files.diff_files", file1="a.txt", file2="b.txt", context_lines=0)
    assert result.output == "--- a.txt\n+++ b.txt\n@@ -2 +2 @@ a\n-b\n+B\n"
    same = tools("files.diff_files", file1="a.txt", file2="a.txt")
    assert (same.output, same.metadata) == ("no difference", {"different": False})


def test_a_file_is_compared_with_its_last_commit(tools: Tools):
    assert tools("files.diff_files", file1="utils.py").output == "no difference"
    (tools.root / "utils.py").write_text("x\n")
    assert "-def add(a, b):" in tools("files.diff_files", file1="utils.py").output
    (tools.root / "new.txt").write_text("x\n")
    assert "not in the last commit" in str(tools("files.diff_files", file1="new.txt").error)


def test_binary_and_huge_files_are_not_compared(tools: Tools):
    (tools.root / "a.bin").write_bytes(b"\0")
    (tools.root / "huge").write_bytes(b"x" * (50 * 1024**2))
    assert "binary" in str(tools("files.diff_files", file1="a.bin", file2="a.bin").error)
    assert "larger" in str(tools("files.diff_files", file1="huge", file2="a.bin").error)


@pytest.mark.parametrize(
    "content", [b"\0\1\xff", BOM + b"a\r\nb", b"x" * (50 * 1024**2)], ids=["bin", "BOM", "50 MB"]
)
def test_a_copy_has_content_and_mode(tools: Tools, content: bytes):
    source = tools.root / "a"
    source.write_bytes(content)
    source.chmod(0o755)
    assert tools("files.copy_file", source="a", target="new/b").ok
    copy = tools.root / "new" / "b"
    assert (copy.read_bytes(), copy.stat().st_mode, copy.stat().st_nlink) == (
        content,
        source.stat().st_mode,
        1,
    )


def test_a_copy_has_its_bounds(tools: Tools):
    with (tools.root / "big").open("wb") as file:
        file.truncate(65 * 1024**2)
    assert "larger" in str(tools("files.copy_file", source="big", target="b").error)
    assert not tools("files.copy_file", source="tests", target="b").ok
    assert not tools("files.copy_file", source="missing", target="b").ok
    assert "there already" in str(
        tools("files.copy_file", source="utils.py", target="conftest.py").error
    )


def test_files_and_folders_move(tools: Tools):
    assert tools("files.move_file", source="utils.py", target="pkg/utils.py").edited
    assert tools("files.move_file", source="tests", target="pkg/tests").ok
    assert (tools.root / "pkg" / "tests" / "test_utils.py").exists()
    assert not (tools.root / "tests").exists()
    for source, target in (("pkg", "pkg/inside"), ("pkg", "conftest.py"), ("missing", "x")):
        assert not tools("files.move_file", source=source, target=target).ok


@pytest.mark.parametrize("operation", ["files.copy_file", "files.move_file"])
@pytest.mark.parametrize("bad", ["../x", "/etc/x", ".git/config", "link/x", "a/.git/x", ".", "~\0"])
def test_neither_end_leaves_the_workspace(tools: Tools, outside: Path, operation: str, bad: str):
    (tools.root / "link").symlink_to(outside)
    before = snapshot(tools.root), snapshot(outside)
    assert not tools(operation, source="utils.py", target=bad).ok
    assert not tools(operation, source=bad, target="taken.txt").ok
    assert (snapshot(tools.root), snapshot(outside)) == before


@pytest.mark.parametrize("operation", ["files.copy_file", "files.move_file"])
def test_links_and_special_files_are_not_sources(tools: Tools, outside: Path, operation: str):
    (tools.root / "link").symlink_to(outside / "secret.txt")
    os.mkfifo(tools.root / "pipe")
    (tools.root / "vendor" / ".git").mkdir(parents=True)
    for source in ("link", "pipe", "vendor"):
        assert not tools(operation, source=source, target="taken").ok, source
    assert not (tools.root / "taken").exists()


def test_a_hard_linked_file_is_not_moved(tools: Tools, outside: Path):
    (tools.root / "hard").hardlink_to(outside / "secret.txt")
    assert tools("files.move_file", source="hard", target="x").denied


def test_a_patch_creates_changes_and_deletes(tools: Tools):
    (tools.root / "a.txt").write_text("a\nb\nc\n")
    (tools.root / "old.txt").write_text("x\n")
    delete = "diff --git a/old.txt b/old.txt\ndeleted file mode 100644\n"
    delete += "--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    result = tools("files.apply_patch", patch=CHANGE + NEW + delete)
    assert result.output == "patched a.txt\ncreated sub/new.txt\ndeleted old.txt"
    assert (tools.root / "a.txt").read_text() == "a\nB\nc\n"
    assert (tools.root / "sub" / "new.txt").read_text() == "one\ntwo\n"
    assert not (tools.root / "old.txt").exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"a\r\nb\r\nc\r\n", b"a\r\nB\r\nc\r\n", id="CRLF"),
        pytest.param(BOM + b"a\nb\nc\n", BOM + b"a\nB\nc\n", id="BOM"),
        pytest.param(b"0\n0\na\nb\nc\n", b"0\n0\na\nB\nc\n", id="moved by two lines"),
    ],
)
def test_a_patched_file_keeps_its_style(tools: Tools, before: bytes, after: bytes):
    (tools.root / "a.txt").write_bytes(before)
    (tools.root / "a.txt").chmod(0o755)
    assert tools("files.apply_patch", patch=CHANGE).ok
    assert (tools.root / "a.txt").read_bytes() == after
    assert (tools.root / "a.txt").stat().st_mode & 0o777 == 0o755


BROKEN = {
    "does not fit": CHANGE.replace("-b", "-x"),
    "at two places": CHANGE.replace("@@ -1,3", "@@ -9,3").replace(" a\n", "").replace(" c\n", ""),
    "too few lines": CHANGE.replace("1,3 +1,3", "1,9 +1,9"),
    "too many lines": CHANGE.replace("1,3 +1,3", "1,2 +1,2"),
    "exists": NEW.replace("sub/new.txt", "a.txt"),
    "missing": CHANGE.replace("a.txt", "missing.txt"),
    "twice": CHANGE + CHANGE,
    "twice, spelled differently": CHANGE + CHANGE.replace("a.txt", "./a.txt"),
    "rename": CHANGE.replace("+++ b/a.txt", "+++ b/b.txt"),
    "escape": NEW.replace("sub/new.txt", "../outside/new.txt"),
    "absolute": NEW.replace("b/sub/new.txt", "/etc/new.txt"),
    "git": NEW.replace("sub/new.txt", ".git/hooks/pre-commit"),
    "nested git": NEW.replace("sub/new.txt", "sub/.GIT/config"),
    "through a link": NEW.replace("sub/new.txt", "link/new.txt"),
    "onto a link": NEW.replace("sub/new.txt", "link"),
    "of a hard link": CHANGE.replace("a.txt", "hard"),
    "of a pipe": CHANGE.replace("a.txt", "pipe"),
    "symlink": "diff --git a/x b/x\nnew file mode 120000\n" + NEW,
    "submodule": "diff --git a/x b/x\nnew file mode 160000\n" + NEW,
    "executable": "diff --git a/x b/x\nnew file mode 100755\n" + NEW,
    "mode": "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 120000\n" + CHANGE,
    "binary": "diff --git a/x b/x\nGIT binary patch\nliteral 1\n" + CHANGE,
    "rename header": "rename from a.txt\nrename to b.txt\n" + CHANGE,
    "no hunks": "--- a/a.txt\n+++ b/a.txt\n",
    "folder in the way": NEW.replace("sub/new.txt", "a.txt/new.txt"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("first", ["", NEW.replace("new.txt", "first.txt")], ids=["alone", "after"])
def test_a_patch_that_is_not_wholly_good_changes_nothing(
    tools: Tools, outside: Path, broken: str, first: str
):
    (tools.root / "a.txt").write_text("a\nb\nc\nb\n")
    (tools.root / "link").symlink_to(outside)
    (outside / "shared").write_text("a\nb\nc\n")
    (tools.root / "hard").hardlink_to(outside / "shared")
    os.mkfifo(tools.root / "pipe")
    before = snapshot(tools.root), snapshot(outside)
    assert not tools("files.apply_patch", patch=first + broken).ok
    assert (snapshot(tools.root), snapshot(outside)) == before
    assert not (tools.root / "sub").exists()


def test_a_file_without_final_newline(tools: Tools):
    (tools.root / "a.txt").write_text("a\nb")
    text = "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+B\n"
    assert not tools(
        "files.apply_patch", patch=text.replace("\\ No newline at end of file\n", "")
    ).ok
    assert tools("files.apply_patch", patch=text).ok
    assert (tools.root / "a.txt").read_bytes() == b"a\nB\n"
