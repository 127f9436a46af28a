"""Salvage from a workspace that an agent made dangerous."""

import os
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files

from agenttask_courier import salvage
from agenttask_courier.changes import list_changes, write_patch
from agenttask_courier.clone import clone
from agenttask_courier.git import Git
from agenttask_courier.places import Places
from agenttask_courier.salvage import SalvageLimit, salvage_tree


@pytest.fixture
def pristine(places: Places, origin: Origin, make_document: MakeDocument) -> Git:
    assert clone(places, make_document()) == 0
    return Git(places.pristine_repo, places.tmp)


def salvaged(places: Places, pristine: Git) -> tuple[str, str]:
    base = git(places.repo, "rev-parse", "origin/main")
    return base, salvage_tree(pristine, places.repo, base, places.tmp)


def changed(places: Places, pristine: Git) -> set[str]:
    return set(list_changes(pristine, *salvaged(places, pristine)).paths)


def test_untouched_workspace_gives_the_base_tree(places: Places, pristine: Git):
    base, tree = salvaged(places, pristine)
    assert tree == git(places.repo, "rev-parse", f"{base}^{{tree}}")


def test_edits_additions_deletions_and_modes_are_rescued(places: Places, pristine: Git):
    write_files(places.repo, {"README.md": "# New\n", "deep/er/new.txt": "n"})
    (places.repo / "src/calc.py").unlink()
    (places.repo / "tests/test_calc.py").chmod(0o755)
    assert changed(places, pristine) == {
        "README.md",
        "deep/er/new.txt",
        "src/calc.py",
        "tests/test_calc.py",
    }


def test_patch_of_salvage_applies(places: Places, pristine: Git, origin: Origin):
    write_files(places.repo, {"README.md": "# New\n"})
    (places.repo / "blob.bin").write_bytes(bytes(range(256)))
    patch = places.tmp / "p"
    write_patch(pristine, *salvaged(places, pristine), patch)
    git(origin.work, "apply", str(patch))
    assert (origin.work / "blob.bin").read_bytes() == bytes(range(256))


def test_nested_repository_with_filters_runs_nothing(places: Places, pristine: Git, tmp_path: Path):
    marker = tmp_path / "owned"
    nested = places.repo / "vendor"
    nested.mkdir()
    git(nested, "init", "-q")
    for folder in (nested, places.repo):
        git(folder, "config", "filter.evil.clean", f"touch {marker}")
        git(folder, "config", "filter.evil.smudge", f"touch {marker}")
        git(folder, "config", "core.fsmonitor", f"touch {marker}")
        git(folder, "config", "diff.evil.textconv", f"touch {marker}")
        (folder / ".gitattributes").write_text("* filter=evil diff=evil\n", encoding="utf-8")
    write_files(places.repo, {"vendor/x.txt": "x", "README.md": "# New\n"})
    base, tree = salvaged(places, pristine)
    write_patch(pristine, base, tree, places.tmp / "p")
    assert not marker.exists()
    assert set(list_changes(pristine, base, tree).paths) == {
        ".gitattributes",
        "README.md",
        "vendor/.gitattributes",
        "vendor/x.txt",
    }


def test_links_are_recorded_and_never_followed(places: Places, pristine: Git, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("the-secret-key", encoding="utf-8")
    (places.repo / "out").symlink_to(secret)
    (places.repo / "file").symlink_to(secret / "key")
    base, tree = salvaged(places, pristine)
    entries = {e.path: e for e in list_changes(pristine, base, tree).entries}
    assert {e.new_mode for e in entries.values()} == {"120000"}
    assert set(entries) == {"out", "file"}
    write_patch(pristine, base, tree, places.tmp / "p")
    assert "the-secret-key" not in (places.tmp / "p").read_text("utf-8")


def test_folder_replaced_by_a_link_is_not_entered(places: Places, pristine: Git, tmp_path: Path):
    (places.repo / "src/calc.py").unlink()
    (places.repo / "src").rmdir()
    (places.repo / "src").symlink_to(tmp_path)
    assert changed(places, pristine) == {"src", "src/calc.py"}


def test_special_files_and_odd_names(places: Places, pristine: Git):
    os.mkfifo(places.repo / "fifo")
    odd = [b"new\nline", b"tab\there", b"quote\"'", b"\xff\xfe", b"back\\slash", b"-rf", b":0 x"]
    for name in odd:
        Path(os.fsdecode(os.fsencode(places.repo) + b"/" + name)).write_bytes(b"x")
    found = {os.fsencode(path) for path in changed(places, pristine)}
    assert found == set(odd)


def test_git_folders_of_any_spelling_are_skipped(places: Places, pristine: Git):
    write_files(places.repo, {"a/.git/config": "x", "b/.GIT/config": "x", "c/git~1/x": "x"})
    assert changed(places, pristine) == set()


def test_folders_that_tools_fill_stay_as_in_the_base(places: Places, pristine: Git):
    write_files(places.repo, {"node_modules/x/y.js": "x", "src/__pycache__/a.pyc": "x"})
    assert changed(places, pristine) == set()


@pytest.mark.parametrize(
    ("limit", "value"),
    [("MAX_CHANGED", 2), ("MAX_TOTAL_BYTES", 2), ("MAX_FILES", 2), ("MAX_DEPTH", 2)],
)
def test_too_much_is_not_salvaged(
    places: Places, pristine: Git, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
):
    monkeypatch.setattr(salvage, limit, value)
    write_files(places.repo, {f"d/{n}/e/f/{n}": f"{n}" for n in range(5)})
    with pytest.raises(SalvageLimit):
        salvaged(places, pristine)


def test_huge_file_counts_as_unchanged(
    places: Places, pristine: Git, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(salvage, "MAX_FILE_BYTES", 100)
    write_files(places.repo, {"README.md": "x" * 101, "small": "x"})
    assert changed(places, pristine) == {"small"}
