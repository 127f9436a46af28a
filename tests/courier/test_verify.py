"""The clean checkout that the checks run on."""

from pathlib import Path

import pytest
from aiohttp import web
from tests.courier.conftest import BASE_FILES, MakeDocument, Origin, git, write_files

from agenttask_api.door import VerifyAnswer
from agenttask_api.taskdocument import TaskDocument
from agenttask_api.verification import StepResult
from agenttask_courier.changes import list_changes
from agenttask_courier.clone import clone
from agenttask_courier.git import Git
from agenttask_courier.intake import take_in
from agenttask_courier.places import Places
from agenttask_courier.sockets import listen
from agenttask_courier.verify import (
    MAX_ANSWER_BYTES,
    Checkout,
    VerifierGone,
    ask_verifier,
    conclude,
    make_checkout,
    remove,
)


@pytest.fixture
def document(places: Places, origin: Origin, make_document: MakeDocument) -> TaskDocument:
    made = make_document()
    assert clone(places, made) == 0
    return made


def checkout_of(places: Places, document: TaskDocument) -> Checkout:
    """Commit what is in the workspace and check it out clean."""
    pristine = Git(places.pristine_repo, places.tmp)
    base = git(places.repo, "rev-parse", "origin/main")
    git(places.repo, "add", "-A")
    git(places.repo, "commit", "-qm", "work")
    bundle = places.tmp / "b"
    git(places.repo, "bundle", "create", "-q", str(bundle), f"{base}..HEAD")
    tip = take_in(pristine, bundle, base, 1 << 20)
    return make_checkout(pristine, places, document, list_changes(pristine, base, tip))


def files_of(folder: Path) -> dict[str, str]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_text("utf-8") for p in found}


def test_protected_files_are_the_base_s_and_the_rest_the_candidate_s(
    places: Places, document: TaskDocument
):
    write_files(
        places.repo,
        {"tests/test_calc.py": "cheat", "tests/conftest.py": "cheat", "src/calc.py": "new"},
    )
    checkout = checkout_of(places, document)
    assert files_of(checkout.directory) == {**BASE_FILES, "src/calc.py": "new"}
    assert checkout.touched == ("tests/conftest.py", "tests/test_calc.py")


def test_protected_folder_replaced_by_a_file_comes_back(places: Places, document: TaskDocument):
    (places.repo / "tests/test_calc.py").unlink()
    (places.repo / "tests").rmdir()
    (places.repo / "tests").write_text("not a folder", "utf-8")
    assert files_of(checkout_of(places, document).directory) == BASE_FILES


def test_protected_folder_replaced_by_a_link_comes_back(
    places: Places, document: TaskDocument, tmp_path: Path
):
    (places.repo / "tests/test_calc.py").unlink()
    (places.repo / "tests").rmdir()
    (places.repo / "tests").symlink_to(tmp_path)
    checkout = checkout_of(places, document)
    assert not (checkout.directory / "tests").is_symlink()
    assert files_of(checkout.directory) == BASE_FILES
    assert not (tmp_path / "test_calc.py").exists()


def test_attributes_of_the_candidate_run_nothing(
    places: Places, document: TaskDocument, tmp_path: Path
):
    git(places.repo, "config", "filter.evil.smudge", f"touch {tmp_path / 'owned'}")
    write_files(places.repo, {".gitattributes": "* filter=evil\n", "new": "new"})
    assert files_of(checkout_of(places, document).directory)["new"] == "new"
    assert not (tmp_path / "owned").exists()


def test_modes_and_links_are_kept(places: Places, document: TaskDocument):
    write_files(places.repo, {"run.sh": "#!/bin/sh\n"})
    (places.repo / "run.sh").chmod(0o755)
    (places.repo / "link").symlink_to("run.sh")
    directory = checkout_of(places, document).directory
    assert (directory / "run.sh").stat().st_mode & 0o100
    assert (directory / "link").readlink() == Path("run.sh")
    assert not (directory / ".git").exists()


def test_removing_follows_no_link(tmp_path: Path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    write_files(outside, {"keep": "me"})
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    remove(folder)
    (tmp_path / "folder").symlink_to(outside)
    remove(folder)
    assert not folder.is_symlink()
    assert (outside / "keep").exists()


@pytest.mark.parametrize(
    ("step", "passed", "said"),
    [
        (StepResult(name="t", exit_code=0), True, ""),
        (
            StepResult(name="t", exit_code=3, output="E   assert\n1 failed\n"),
            False,
            "verify step t ended with exit code 3: 1 failed",
        ),
        (
            StepResult(name="t", exit_code=None, timed_out=True),
            False,
            "verify step t did not end in time",
        ),
        (StepResult(name="t", exit_code=None, output="no such"), False, "verify step t: no such"),
    ],
)
def test_conclusion(tmp_path: Path, step: StepResult, passed: bool, said: str):
    checked = conclude(VerifyAnswer(verify=(step,)), Checkout(tmp_path, tmp_path, ()))
    assert (checked.verification.passed, checked.verification.message) == (passed, said)


async def test_endless_answer_of_the_verifier_is_cut_and_no_answer(
    places: Places, document: TaskDocument
):
    async def babble(_: web.Request) -> web.Response:
        return web.Response(body=b" " * (2 * MAX_ANSWER_BYTES), content_type="application/json")

    app = web.Application()
    app.router.add_post("/verify", babble)
    checkout = Checkout(places.checkout / "1", places.checkout / "1-reports", ())
    async with listen(app, places.verifier_socket):
        with pytest.raises(VerifierGone):
            await ask_verifier(places, document, checkout)
