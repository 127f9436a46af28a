"""`clone` against a real git server over TLS with basic auth."""

import base64
import contextlib
import json
import os
import socket
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files
from tests.servers.githttps import PASSWORD, USERNAME

from agenttask_api.clonefacts import CloneFacts, CloneFailure
from agenttask_courier.clone import clone
from agenttask_courier.places import Places


def facts_of(places: Places) -> CloneFacts:
    return CloneFacts.model_validate_json(places.clone_facts.read_text("utf-8"))


def failure_of(places: Places) -> CloneFailure:
    text = places.termination_log.read_text("utf-8")
    assert len(text.encode()) <= 1024
    assert PASSWORD not in text
    return CloneFailure.model_validate_json(text)


@pytest.mark.parametrize(
    ("revision", "ref"),
    [
        pytest.param("main", "refs/heads/main", id="branch"),
        pytest.param("v1.0", "refs/tags/v1.0", id="annotated tag"),
        pytest.param("refs/heads/old", "refs/heads/old", id="full name"),
    ],
)
def test_clone_finds_the_revision(
    places: Places, origin: Origin, make_document: MakeDocument, revision: str, ref: str
):
    document = make_document(repo={"url": origin.url, "revision": revision})
    assert clone(places, document) == 0
    expected = git(origin.work, "rev-parse", f"{'v1.0' if 'main' not in revision else 'main'}^{{}}")
    assert facts_of(places).base_commit == expected
    assert facts_of(places).revision_ref == ref
    assert git(places.repo, "rev-parse", "HEAD") == expected


def test_clone_takes_a_full_commit_id(places: Places, origin: Origin, make_document: MakeDocument):
    commit = git(origin.work, "rev-parse", "main~2")
    assert clone(places, make_document(repo={"url": origin.url, "revision": commit})) == 0
    assert facts_of(places).base_commit == commit
    assert facts_of(places).revision_ref == ""


@pytest.mark.parametrize(("depth", "commits"), [(1, 1), (2, 2), (0, 3)])
def test_clone_fetches_as_much_history_as_asked(
    places: Places, origin: Origin, make_document: MakeDocument, depth: int, commits: int
):
    assert clone(places, make_document(repo={"url": origin.url, "depth": depth})) == 0
    assert git(places.repo, "rev-list", "--count", "HEAD") == str(commits)


def test_workspace_is_ready_to_work_in(places: Places, origin: Origin, make_document: MakeDocument):
    assert clone(places, make_document(git={"authorName": "Bot", "authorEmail": "b@x.io"})) == 0
    assert git(places.repo, "branch", "--show-current") == "agent"
    assert git(places.repo, "status", "--porcelain") == ""
    assert git(places.repo, "remote", "-v").split()[1] == str(places.agent_remote)
    assert git(places.repo, "config", "user.name") == "Bot"
    assert git(places.repo, "rev-parse", "origin/main") == facts_of(places).base_commit
    (places.repo / "new.txt").write_text("new", encoding="utf-8")
    git(places.repo, "add", ".")
    git(places.repo, "commit", "-qm", "new")
    git(places.repo, "push", "-q", "origin", "agent")
    assert git(places.agent_remote, "rev-parse", "agent") == git(places.repo, "rev-parse", "HEAD")


def test_workspace_shares_no_inode_with_pristine(
    places: Places, origin: Origin, make_document: MakeDocument
):
    assert clone(places, make_document()) == 0
    ours, theirs = _inodes(places.pristine), _inodes(places.workspace)
    assert ours
    assert not ours & theirs
    assert not list(places.workspace.rglob("alternates"))


def test_clone_records_the_output_branch(
    places: Places, origin: Origin, make_document: MakeDocument
):
    earlier = origin.push_from_elsewhere("agenttask/fix-add")
    assert clone(places, make_document()) == 0
    assert facts_of(places).output_ref_commit == earlier


def test_clone_starts_afresh_over_a_half_made_one(
    places: Places, origin: Origin, make_document: MakeDocument
):
    for folder in (places.pristine_repo, places.repo, places.agent_remote):
        (folder / "objects" / "pack").mkdir(parents=True)
        (folder / "HEAD").write_text("ref: ", encoding="utf-8")
    assert clone(places, make_document()) == 0
    assert clone(places, make_document()) == 0
    assert (places.repo / "src" / "calc.py").exists()


def test_missing_revision_is_final(places: Places, origin: Origin, make_document: MakeDocument):
    assert clone(places, make_document(repo={"url": origin.url, "revision": "nope"})) == 1
    assert failure_of(places).reason == "CloneRevisionNotFound"
    assert "'nope'" in failure_of(places).message


def test_missing_commit_is_final(places: Places, origin: Origin, make_document: MakeDocument):
    assert clone(places, make_document(repo={"url": origin.url, "revision": "0" * 39 + "1"})) == 1
    assert failure_of(places).reason == "CloneRevisionNotFound"


def test_wrong_password_is_final(places: Places, origin: Origin, make_document: MakeDocument):
    (places.git_secret / "password").write_text("wrong-password", encoding="utf-8")
    assert clone(places, make_document()) == 1
    assert failure_of(places).reason == "CloneAuthFailed"
    assert "wrong-password" not in failure_of(places).message


def test_missing_credentials_are_final(places: Places, origin: Origin, make_document: MakeDocument):
    for path in places.git_secret.iterdir():
        path.unlink()
    assert clone(places, make_document()) == 1
    assert failure_of(places).reason == "CloneAuthFailed"


def test_untrusted_certificate_is_final(
    places: Places, origin: Origin, make_document: MakeDocument
):
    places.ca_file.unlink()
    assert clone(places, make_document()) == 1
    assert failure_of(places).reason == "CloneFailed"
    assert "not trusted" in failure_of(places).message


def test_missing_repository_is_final(places: Places, origin: Origin, make_document: MakeDocument):
    assert clone(places, make_document(repo={"url": origin.server.url("nope.git")})) == 1
    assert failure_of(places).reason == "CloneFailed"
    assert "no such repository" in failure_of(places).message


def test_refused_connection_is_tried_three_times_and_worth_another_pod(
    places: Places, origin: Origin, make_document: MakeDocument
):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"https://user@127.0.0.1:{unused.getsockname()[1]}/p.git"
        pauses: list[float] = []
        assert clone(places, make_document(repo={"url": url}), sleep=pauses.append) == 75
    assert len(pauses) == 2
    assert failure_of(places).reason == "CloneFailed"
    assert "refused" in failure_of(places).message
    assert "user@" not in failure_of(places).message


def test_server_error_passes_at_the_second_try(
    places: Places, origin: Origin, make_document: MakeDocument
):
    origin.server.fail_with.append(503)
    assert clone(places, make_document(), sleep=lambda _: None) == 0


def test_password_in_the_url_is_refused(
    places: Places, origin: Origin, make_document: MakeDocument
):
    url = origin.url.replace("https://", f"https://me:{PASSWORD}@")
    assert clone(places, make_document(repo={"url": url})) == 1
    assert "credentialsRef" in failure_of(places).message


def test_secret_is_in_no_argument_variable_or_config(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-somebody-else")
    record = _spy_on_git(tmp_path, monkeypatch)
    assert clone(places, make_document()) == 0
    seen = record.read_text("utf-8")
    assert "fetch" in seen
    assert PASSWORD not in seen
    assert "AWS_SECRET_ACCESS_KEY" not in seen
    for config in (*places.workspace.rglob("config"), *places.pristine.rglob("config")):
        assert PASSWORD not in config.read_text("utf-8")


def test_secret_is_in_no_process_and_no_file(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    capsys: pytest.CaptureFixture[str],
):
    """The server looks at every process of the machine while git waits for its answer."""
    seen: list[bytes] = []
    origin.server.on_request = lambda: seen.extend(_processes())
    assert clone(places, make_document()) == 0
    texts = {"output": capsys.readouterr().out.encode(), "processes": b"".join(seen)}
    for root in (places.workspace, places.pristine, places.tmp, places.home):
        texts |= {str(p): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert b"git-remote-https" in texts["processes"]
    assert b"GIT_ASKPASS=" in texts["processes"]
    forms = (PASSWORD.encode(), base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()))
    assert [name for name, text in texts.items() if any(f in text for f in forms)] == []


def _processes() -> list[bytes]:
    found = []
    for name in ("cmdline", "environ"):
        for path in Path("/proc").glob(f"[0-9]*/{name}"):
            with contextlib.suppress(OSError):
                found.append(path.read_bytes())
    return found


def test_a_token_alone_is_enough(places: Places, origin: Origin, make_document: MakeDocument):
    origin.server.username = "git"
    (places.git_secret / "username").unlink()
    (places.git_secret / "password").rename(places.git_secret / "token")
    assert clone(places, make_document()) == 0


def test_large_files_stay_pointers(places: Places, origin: Origin, make_document: MakeDocument):
    """Whoever needs their contents fetches them; a pointer that is lost destroys them."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
    write_files(origin.work, {".gitattributes": attributes, "model.bin": pointer})
    git(origin.work, "add", ".")
    git(origin.work, "commit", "-qm", "pointer")
    git(origin.work, "push", "-q", "origin", "HEAD:main")
    assert clone(places, make_document()) == 0
    assert (places.repo / "model.bin").read_text("utf-8") == pointer
    assert git(places.repo, "status", "--porcelain") == ""


def _spy_on_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a git on PATH that writes down its arguments and environment."""
    record, folder = tmp_path / "spied", tmp_path / "spy"
    folder.mkdir()
    script = folder / "git"
    script.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >>{record}\nenv >>{record}\nexec /usr/bin/git "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return record


def _inodes(root: Path) -> set[int]:
    return {path.stat().st_ino for path in root.rglob("*") if path.is_file()}


def test_log_lines_are_json(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    capsys: pytest.CaptureFixture[str],
):
    clone(places, make_document())
    assert json.loads(capsys.readouterr().out)["event"] == "cloned"
