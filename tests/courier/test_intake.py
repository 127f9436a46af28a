"""Bundles as an honest agent makes them, and as a hostile one would."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.courier.conftest import MakeDocument, Origin, git, write_files

from agenttask_courier import intake
from agenttask_courier.changes import list_changes
from agenttask_courier.clone import clone
from agenttask_courier.git import Git
from agenttask_courier.intake import BundleRefused, BundleUnusable, take_in
from agenttask_courier.places import Places

MIB = 1024 * 1024


@pytest.fixture
def pristine(places: Places, origin: Origin, make_document: MakeDocument) -> Git:
    assert clone(places, make_document()) == 0
    return Git(places.pristine_repo, places.tmp)


def base_of(places: Places) -> str:
    return git(places.repo, "rev-parse", "origin/main")


def make_bundle(places: Places, *spec: str) -> Path:
    path = places.tmp / "made.bundle"
    git(places.repo, "bundle", "create", "-q", str(path), *spec)
    return path


def commit(places: Places, files: dict[str, str]) -> str:
    write_files(places.repo, files)
    git(places.repo, "add", "-A")
    git(places.repo, "commit", "-qm", "work")
    return git(places.repo, "rev-parse", "HEAD")


def test_thin_bundle_is_taken_in(places: Places, pristine: Git):
    base = base_of(places)
    tip = commit(places, {"README.md": "# Project\nmore\n", "new.txt": "new\n"})
    assert take_in(pristine, make_bundle(places, f"{base}..HEAD"), base, MIB) == tip
    changes = list_changes(pristine, base, tip)
    assert set(changes.paths) == {"README.md", "new.txt"}
    assert (changes.insertions, changes.deletions) == (2, 0)


def test_bundle_of_a_named_branch_is_taken_in(places: Places, pristine: Git):
    base = base_of(places)
    tip = commit(places, {"new.txt": "new\n"})
    assert take_in(pristine, make_bundle(places, "agent", f"^{base}"), base, MIB) == tip


def test_other_history_is_refused(places: Places, pristine: Git):
    base = base_of(places)
    git(places.repo, "checkout", "-q", "--orphan", "other")
    commit(places, {"new.txt": "new\n"})
    with pytest.raises(BundleRefused, match="does not descend"):
        take_in(pristine, make_bundle(places, "HEAD"), base, MIB)


def test_too_large_a_pack_is_refused(places: Places, pristine: Git):
    base = base_of(places)
    (places.repo / "noise").write_bytes(os.urandom(300_000))
    commit(places, {})
    with pytest.raises(BundleRefused, match="larger than"):
        take_in(pristine, make_bundle(places, f"{base}..HEAD"), base, 100_000)


def test_what_unpacks_to_too_much_is_refused(
    places: Places, pristine: Git, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intake, "MAX_UNPACKED_BYTES", MIB)
    base = base_of(places)
    commit(places, {"zeros": "0" * 2 * MIB})
    with pytest.raises(BundleRefused, match="unpacks to"):
        take_in(pristine, make_bundle(places, f"{base}..HEAD"), base, MIB)


def test_too_many_objects_are_refused(
    places: Places, pristine: Git, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intake, "MAX_OBJECTS", 2)
    base = base_of(places)
    commit(places, {"a": "a", "b": "b"})
    with pytest.raises(BundleRefused, match="objects"):
        take_in(pristine, make_bundle(places, f"{base}..HEAD"), base, MIB)


def test_dot_git_in_a_tree_is_refused(places: Places, pristine: Git):
    base = base_of(places)
    commit(places, {"harmless": "x"})
    tree = git(places.repo, "rev-parse", "HEAD^{tree}")
    argv = ["git", "-C", str(places.repo), "mktree"]
    entry = f"040000 tree {tree}\t.git\n".encode()
    made = (
        subprocess.run(argv, input=entry, capture_output=True, check=True).stdout.decode().strip()
    )
    evil = git(places.repo, "commit-tree", made, "-p", base, "-m", "evil")
    git(places.repo, "update-ref", "refs/heads/evil", evil)
    with pytest.raises(BundleUnusable, match="git refuses the pack"):
        take_in(pristine, make_bundle(places, "evil", f"^{base}"), base, MIB)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage" * 100, id="garbage"),
        pytest.param(b"# v2 git bundle\n", id="nothing but the signature"),
        pytest.param(b"# v2 git bundle\n\nPACK", id="no refs"),
        pytest.param(b"# v2 git bundle\n" + b"a" * 40 + b" HEAD\n\n", id="no pack"),
        pytest.param(
            b"# v2 git bundle\n" + b"a" * 40 + b" HEAD\n\nPACK\0\0\0\2\0\0\0\1xx", id="broken pack"
        ),
        pytest.param(
            b"# v3 git bundle\n@filter=blob:none\n" + b"a" * 40 + b" HEAD\n\nPACK", id="filter"
        ),
        pytest.param(b"# v2 git bundle\n--upload-pack=x HEAD\n\nPACK", id="an option as a ref"),
        pytest.param(
            b"# v2 git bundle\n" + (b"-" + b"a" * 40 + b" x\n") * 5000, id="endless header"
        ),
    ],
)
def test_broken_bundles_are_unusable(places: Places, pristine: Git, content: bytes):
    path = places.tmp / "bad.bundle"
    path.write_bytes(content)
    with pytest.raises(BundleUnusable):
        take_in(pristine, path, base_of(places), MIB)


def test_cut_bundle_is_unusable(places: Places, pristine: Git):
    base = base_of(places)
    commit(places, {"new.txt": "new\n" * 100})
    path = make_bundle(places, f"{base}..HEAD")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(BundleUnusable, match="git refuses the pack"):
        take_in(pristine, path, base, MIB)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=300))
def test_random_headers_raise_nothing_else(tmp_path: Path, content: bytes):
    path = tmp_path / "x"
    path.write_bytes(b"# v2 git bundle\n" + content)
    with path.open("rb") as source:
        try:
            header = intake.parse_header(source)
        except BundleUnusable:
            return
    assert len(header.tip) in (40, 64)
