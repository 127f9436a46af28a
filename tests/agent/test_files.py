"""The files family on real files."""

import os
import resource
import shutil
import stat
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.toolboxes import Tools

BOM = b"\xef\xbb\xbf"


def stored(tools: Tools, name: str, content: bytes) -> Path:
    path = tools.root / name
    path.write_bytes(content)
    return path


def test_read_file_shows_the_whole_file_or_a_part(tools: Tools):
    stored(tools, "a.txt", b"one\ntwo\nthree\n")
    assert tools("files.read_file", path="a.txt").output == "one\ntwo\nthree\n"
    part = tools("files.read_file", path="a.txt", start=2, end=2)
    assert (part.output, part.metadata) == ("two", {"lines": 3, "start": 2, "end": 2})
    assert tools("files.read_file", path="a.txt", start=3, end=99).output == "three"
    assert not tools("files.read_file", path="a.txt", start=4).ok
    assert not tools("files.read_file", path="a.txt", start=3, end=2).ok


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"\x7fELF\0\0", "binary", id="binary"),
        pytest.param(b"caf\xe9", "not UTF-8", id="latin-1"),
        pytest.param(b"x" * (10 * 1024**2 + 1), "larger than", id="huge"),
    ],
)
def test_read_file_says_what_it_cannot_show(tools: Tools, content: bytes, words: str):
    stored(tools, "a.bin", content)
    assert words in str(tools("files.read_file", path="a.bin").error)


def test_a_long_file_is_cut_visibly(make_tools: MakeTools):
    tools = make_tools(max_output=1000)
    stored(tools, "long.txt", b"".join(b"line %d\n" % n for n in range(10_000)))
    result = tools("files.read_file", path="long.txt")
    assert result.truncated
    assert len(result.output) < 1100
    assert "characters left out" in result.output


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"a\r\nb\r\n", b"a\r\nB\r\n", id="CRLF"),
        pytest.param(BOM + b"a\nb\n", BOM + b"a\nB\n", id="byte order mark"),
        pytest.param(b"a\nb", b"a\nB", id="no final newline"),
        pytest.param(BOM + b"a\r\nb", BOM + b"a\r\nB", id="all three"),
        pytest.param(b"a\r\nx\nb\n", b"a\r\nx\nB\n", id="mixed line endings"),
        pytest.param("\u00e4\nb\n".encode(), "\u00e4\nB\n".encode(), id="not ASCII"),
    ],
)
def test_edit_file_keeps_how_a_file_is_stored(tools: Tools, before: bytes, after: bytes):
    path = stored(tools, "a.txt", before)
    path.chmod(0o755)
    assert tools("files.edit_file", path="a.txt", search="b", replace="B").ok
    assert path.read_bytes() == after
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


def test_edit_file_takes_a_search_of_several_lines_in_a_crlf_file(tools: Tools):
    path = stored(tools, "a.txt", b"a\r\nb\r\nc\r\n")
    for search in ("a\nb", "a\r\nb"):
        path.write_bytes(b"a\r\nb\r\nc\r\n")
        assert tools("files.edit_file", path="a.txt", search=search, replace="x\ny\nz").ok
        assert path.read_bytes() == b"x\r\ny\r\nz\r\nc\r\n"


def test_write_file_keeps_how_a_file_is_stored(tools: Tools):
    path = stored(tools, "a.sh", BOM + b"old\r\n")
    path.chmod(0o750)
    assert tools("files.write_file", path="a.sh", content="new\ntext").ok
    assert path.read_bytes() == BOM + b"new\r\ntext\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_write_file_makes_missing_folders_unless_told_not_to(tools: Tools):
    assert not tools("files.write_file", path="x/y/z", content="1", create_dirs=False).ok
    assert not (tools.root / "x").exists()
    assert tools("files.write_file", path="x/y/z", content="1").ok
    assert (tools.root / "x/y/z").read_text() == "1"


def test_write_file_has_a_size_limit(tools: Tools):
    assert not tools("files.write_file", path="big", content="\u00e4" * 1_000_001).ok
    assert not (tools.root / "big").exists()


def test_a_full_disk_leaves_the_old_file(tools: Tools):
    """A read-only folder stands for it: the new content never replaces half of the old."""
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    path = stored(tools, "a.txt", b"old")
    tools.root.chmod(0o555)
    assert not tools("files.write_file", path="a.txt", content="new").ok
    assert path.read_bytes() == b"old"


def test_a_write_that_ends_in_the_middle_leaves_the_old_file(tools: Tools):
    """The system's limit on a file's size stands for a disk that fills up, for root too."""
    stored(tools, "a.txt", b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        result = tools("files.write_file", path="a.txt", content="new" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in str(result.error)
    assert (tools.root / "a.txt").read_bytes() == b"old"
    assert not [path for path in tools.root.iterdir() if path.name.startswith(".agenttask-")]


def test_append_file_starts_on_a_line_of_its_own(tools: Tools):
    path = stored(tools, "a.txt", b"one\r\ntwo")
    assert tools("files.append_file", path="a.txt", content="three\n").ok
    assert path.read_bytes() == b"one\r\ntwo\r\nthree\r\n"
    assert not tools("files.append_file", path="missing", content="x").ok


def test_append_file_does_not_write_into_binaries(tools: Tools):
    path = stored(tools, "a.bin", b"\0\1")
    assert not tools("files.append_file", path="a.bin", content="x").ok
    assert path.read_bytes() == b"\0\1"


def test_list_files_is_sorted_level_by_level_and_hides_git(tools: Tools):
    assert tools("files.list_files").output.splitlines() == ["conftest.py", "tests/", "utils.py"]
    found = tools("files.list_files", recursive=True, pattern="test_*.py").output
    assert found.splitlines() == ["tests/test_hello.py", "tests/test_utils.py"]
    assert tools("files.list_files", path="tests").output.splitlines() == [
        "tests/test_hello.py",
        "tests/test_utils.py",
    ]


def test_list_files_ends(tools: Tools):
    many = tools.root / "many"
    many.mkdir()
    for number in range(2100):
        (many / f"{number:05}").touch()
    result = tools("files.list_files", path="many")
    assert (result.truncated, result.metadata["entries"]) == (True, 2000)


def test_file_info_tells_what_is_there(tools: Tools):
    info = tools("files.file_info", path="utils.py").metadata
    assert (info["type"], info["lines"], info["binary"], info["mode"]) == ("file", 11, False, "644")
    (tools.root / "link").symlink_to("utils.py")
    assert tools("files.file_info", path="link").metadata["target"] == "utils.py"
    assert tools("files.file_info", path="tests").metadata["type"] == "folder"
    assert not tools("files.file_info", path="missing").ok


def test_mkdir(tools: Tools):
    assert tools("files.mkdir", path="new").ok
    assert "was there" in tools("files.mkdir", path="new").output
    assert not tools("files.mkdir", path="a/b").ok
    assert tools("files.mkdir", path="a/b", parents=True).ok
    assert not tools("files.mkdir", path="utils.py").ok


def test_delete_file_deletes_folders_only_when_told(tools: Tools):
    assert not tools("files.delete_file", path="tests").ok
    assert tools("files.delete_file", path="tests/test_hello.py").ok
    assert tools("files.delete_file", path="tests", recursive=True).ok
    assert not (tools.root / "tests").exists()


needs_ripgrep = pytest.mark.skipif(not shutil.which("rg"), reason="ripgrep is not installed")


@pytest.fixture(params=[pytest.param("rg", marks=needs_ripgrep), "python"])
def searching(request, make_tools: MakeTools, monkeypatch) -> Tools:
    """A toolbox that searches with ripgrep, and one that has to do without."""
    if request.param == "python":
        monkeypatch.setattr("agenttask_agent.tools.search.shutil.which", lambda _: None)
    return make_tools()


def test_search_finds_lines_with_their_places(searching: Tools):
    result = searching("files.search_in_files", pattern=r"def \w+\(", extensions=["py"])
    assert result.output.splitlines()[-2:] == [
        "utils.py:4:def add(a, b):",
        "utils.py:8:def slugify(text):",
    ]
    inside = searching("files.search_in_files", pattern="hello", path="tests").output
    assert inside.splitlines()[0] == "tests/test_hello.py:4:def test_hello_world():"
    one = searching("files.search_in_files", pattern="slugify", path="utils.py").output
    assert one == "utils.py:8:def slugify(text):"


def test_search_ends(searching: Tools):
    """Nor does one file or one line take all the room."""
    (searching.root / "long.txt").write_text("needle " * 10_000)
    for number in range(300):
        (searching.root / f"many-{number}.txt").write_text("needle of a long line " * 10 + "\n" * 9)
    (searching.root / "deep.txt").write_text("needle\n" * 5000)
    result = searching("files.search_in_files", pattern="needle")
    assert result.truncated
    assert len(result.output) < 30_000
    assert max(map(len, result.output.splitlines())) < 1000


def test_search_without_hits_is_not_a_failure(searching: Tools):
    result = searching("files.search_in_files", pattern="nowhere to be found")
    assert (result.ok, result.output) == (True, "(no matches)")


def test_search_takes_a_pattern_for_a_pattern(searching: Tools):
    """A pattern that starts with a dash is not an option of the search program."""
    marker = searching.root.parent / "marker"
    for pattern in ("--pre=touch", f"--pre={marker}", "-f/etc/passwd", "--files"):
        assert searching("files.search_in_files", pattern=pattern).output == "(no matches)"
    assert not marker.exists()


def test_search_explains_a_bad_pattern(searching: Tools):
    result = searching("files.search_in_files", pattern="(unclosed")
    assert not result.ok
    assert "regex" in str(result.error)


def test_search_stays_out_of_git_binaries_and_links(searching: Tools):
    (searching.root.parent / "outside.txt").write_text("needle")
    (searching.root / "link.txt").symlink_to(searching.root.parent / "outside.txt")
    (searching.root / "data.bin").write_bytes(b"\0needle")
    (searching.root / ".git" / "needle").write_text("needle")
    assert searching("files.search_in_files", pattern="needle").output == "(no matches)"


def test_edit_file_replaces_as_often_as_expected(tools: Tools):
    path, three = tools.root / "three.txt", "x\ny\nx\nx\n"
    path.write_text(three)
    for count in (1, 2, 4):
        edit = {"search": "x", "replace": "z", "expected_count": count}
        assert not tools("files.edit_file", path="three.txt", **edit).ok
        assert path.read_text() == three
    assert tools("files.edit_file", path="three.txt", **(edit | {"expected_count": 3})).ok
    assert path.read_text() == "z\ny\nz\nz\n"


@pytest.mark.parametrize(
    ("operation", "arguments", "words"),
    [
        ("edit_file", {"path": "utils.py", "search": "not there", "replace": ""}, "0"),
        ("edit_file", {"path": "utils.py", "search": "return", "replace": ""}, "expected_count"),
        ("edit_file", {"path": "missing", "search": "x", "replace": ""}, "no such file"),
        ("list_files", {"path": "missing"}, "no such file"),
        ("list_files", {"path": "utils.py"}, "not a folder"),
    ],
)
def test_a_failure_names_what_was_wrong(tools: Tools, operation: str, arguments, words: str):
    before = (tools.root / "utils.py").read_bytes()
    result = tools(f"files.{operation}", **arguments)
    assert not result.ok
    assert words in str(result.error)
    assert (tools.root / "utils.py").read_bytes() == before
