"""What policy refuses, on real commits."""

import base64

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files

from agenttask_courier.changes import list_changes
from agenttask_courier.clone import clone
from agenttask_courier.git import Git
from agenttask_courier.intake import take_in
from agenttask_courier.places import Places
from agenttask_courier.policy import escapes, examine

SECRET = "hunter2-and-more?"


@pytest.fixture
def pristine(places: Places, origin: Origin, make_document: MakeDocument) -> Git:
    assert clone(places, make_document()) == 0
    return Git(places.pristine_repo, places.tmp)


def refusal(places: Places, pristine: Git, make_document: MakeDocument, **fields: object) -> str:
    base = git(places.repo, "rev-parse", "origin/main")
    git(places.repo, "add", "-A")
    git(places.repo, "commit", "-qm", "work")
    bundle = places.tmp / "b"
    git(places.repo, "bundle", "create", "-q", str(bundle), f"{base}..HEAD")
    tip = take_in(pristine, bundle, base, 1 << 20)
    changes = list_changes(pristine, base, tip)
    return examine(pristine, make_document(**fields), changes, (SECRET,), places.incoming)


def test_ordinary_change_is_fine(places: Places, pristine: Git, make_document: MakeDocument):
    write_files(places.repo, {"src/calc.py": "pass\n"})
    (places.repo / "link").symlink_to("src/calc.py")
    assert refusal(places, pristine, make_document) == ""


def test_rename_out_of_a_denied_folder_is_denied(
    places: Places, pristine: Git, make_document: MakeDocument
):
    git(places.repo, "mv", "src/calc.py", "calc.py")
    said = refusal(places, pristine, make_document, output={"denyPaths": ["src/**"]})
    assert "src/calc.py" in said


def test_only_allowed_paths_pass(places: Places, pristine: Git, make_document: MakeDocument):
    write_files(places.repo, {"src/a.py": "a", "docs/b.md": "b"})
    said = refusal(places, pristine, make_document, output={"allowPaths": ["src/**"]})
    assert "docs/b.md" in said
    assert "src/a.py" not in said


def test_submodule_is_refused(places: Places, pristine: Git, make_document: MakeDocument):
    head = git(places.repo, "rev-parse", "HEAD")
    git(places.repo, "update-index", "--add", "--cacheinfo", f"160000,{head},vendor")
    (places.repo / "vendor").mkdir()
    git(places.repo, "commit", "-qm", "gitlink")
    write_files(places.repo, {"x": "x"})
    assert "submodules: vendor" in refusal(places, pristine, make_document)


def test_link_out_of_the_repository_is_refused(
    places: Places, pristine: Git, make_document: MakeDocument
):
    (places.repo / "src/out").symlink_to("../../etc/passwd")
    assert "src/out" in refusal(places, pristine, make_document)


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("a", "b", False),
        ("a/b", "../c", False),
        ("a/b", "../../c", True),
        ("a", "/etc/passwd", True),
        ("a", ".git/config", True),
        ("a/b", "../.GIT/hooks", True),
        ("a", "b/../../c", True),
        ("a", ".", False),
    ],
)
def test_escapes(path: str, target: str, expected: bool):
    assert escapes(path, target) is expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SECRET, id="plain"),
        pytest.param(base64.b64encode(SECRET.encode()).decode(), id="base64"),
        pytest.param(SECRET.replace("?", "%3F"), id="in a URL"),
    ],
)
def test_secret_is_found_and_not_printed(
    places: Places, pristine: Git, make_document: MakeDocument, text: str
):
    write_files(places.repo, {"notes": f"x{text}x"})
    said = refusal(places, pristine, make_document)
    assert "secret" in said
    assert text not in said


def test_secret_scan_can_be_switched_off(
    places: Places, pristine: Git, make_document: MakeDocument
):
    write_files(places.repo, {"notes": SECRET})
    assert refusal(places, pristine, make_document, git={"secretScan": False}) == ""
