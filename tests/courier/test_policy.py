"""What policy refuses, on real commits."""

import base64

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files

from agenttask_courier.changes import list_changes
from agenttask_courier.clone import clone
from agenttask_courier.git import Git
from agenttask_courier.intake import take_in
from agenttask_courier.places import Places
from agenttask_courier.policy import MAX_CHANGE_BYTES, escapes, examine
from agenttask_courier.secretscan import tokens

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


TOKENS = {
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXk" * 6,
    "an AWS access key": "AKIA" + "Q3EGRIJ4LMNOP5TV",
    "a GitHub token": "ghp_" + "a1B2" * 9,
    "a GitLab token": "glpat-" + "x9Y_" * 5,
    "a Slack token": "xoxb-" + "12345-abcde" * 3,
    "a Google API key": "AIza" + "Sy1-_" * 7,
    "an npm token": "npm_" + "z0Z9" * 9,
    "a PyPI token": "pypi-" + "AgEIcHlwaS5vcmc" + "C_x-" * 15,
    "a Stripe key": "sk_live" + "_" + "4eC39Hq" * 4,
    "a NATS seed": "SU" + "ABCD234" * 8,
}


@pytest.mark.parametrize("kind", TOKENS)
def test_token_is_known_by_its_form(kind: str):
    text = f"key: {TOKENS[kind]}\n".encode()
    assert {found for found, _ in tokens(text)} == {kind}


def test_token_of_a_commit_in_between_is_found(
    places: Places, pristine: Git, make_document: MakeDocument
):
    write_files(places.repo, {"conf": TOKENS["a GitHub token"], "README.md": "new\n"})
    git(places.repo, "add", "-A")
    git(places.repo, "commit", "-qm", "oops")
    (places.repo / "conf").unlink()
    assert "a GitHub token" in refusal(places, pristine, make_document)


def test_token_that_was_there_before_is_not_the_change_s(
    places: Places, origin: Origin, make_document: MakeDocument
):
    fixture = f"KEY = '{TOKENS['a GitHub token']}'\n"
    write_files(origin.work, {"fixture.py": fixture})
    git(origin.work, "add", ".")
    git(origin.work, "commit", "-qm", "fixture")
    git(origin.work, "push", "-q", "origin", "HEAD:main")
    assert clone(places, make_document()) == 0
    pristine = Git(places.pristine_repo, places.tmp)
    write_files(places.repo, {"fixture.py": fixture + "MORE = 1\n"})
    assert refusal(places, pristine, make_document) == ""
    write_files(places.repo, {"fixture.py": fixture + TOKENS["a GitLab token"]})
    assert "a GitLab token" in refusal(places, pristine, make_document)


@pytest.mark.parametrize(
    "text",
    ["AKIA" + "IOSFODNN7" + "EXAMPLE", "ghp_short", "-----BEGIN PUBLIC KEY-----\n" + "A" * 64],
)
def test_what_only_resembles_a_token_is_none(text: str):
    assert tokens(text.encode()) == set()


def test_more_than_anybody_reviews_is_refused(
    places: Places, pristine: Git, make_document: MakeDocument
):
    (places.repo / "blob").write_bytes(bytes(MAX_CHANGE_BYTES + 1))
    said = refusal(places, pristine, make_document)
    assert "may be pushed" in said
    assert str(MAX_CHANGE_BYTES) in said


@pytest.mark.parametrize(("deny", "refused"), [(None, True), ((), False)])
def test_ci_files_are_refused_unless_the_class_allows_them(
    places: Places,
    pristine: Git,
    make_document: MakeDocument,
    deny: tuple[str, ...] | None,
    refused: bool,
):
    write_files(places.repo, {".github/workflows/ci.yml": "on: push\n"})
    fields = {} if deny is None else {"git": {"denyPaths": deny}}
    said = refusal(places, pristine, make_document, **fields)
    assert said == ("the change touches denied paths: .github/workflows/ci.yml" if refused else "")
