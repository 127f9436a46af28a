"""Clone and push over ssh: a real sshd, its host key checked, a key without a passphrase."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.courier.conftest import document_of, git
from tests.servers.sshd import SshServer, make_key, ssh_server

from agenttask_api.clonefacts import CloneFacts, CloneFailure
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.clone import clone
from agenttask_courier.credentials import git_access, secret_values
from agenttask_courier.git import Git
from agenttask_courier.places import Places
from agenttask_courier.push import push

SOMEBODY_UID = 1000650000
"""A uid as OpenShift gives them out: nobody's name."""


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


@pytest.fixture
def bare(tmp_path: Path, project: Path) -> Path:
    return Path(shutil.copytree(project / "project.git", tmp_path / "project.git"))


@pytest.fixture
def document(sshd: SshServer, bare: Path) -> TaskDocument:
    return document_of(sshd.url(bare))


@pytest.fixture
def places(places: Places, sshd: SshServer) -> Places:
    """The pod of the https tests with an ssh Secret instead."""
    for path in places.git_secret.iterdir():
        path.unlink()
    shutil.copyfile(sshd.client_key, places.git_secret / "ssh-privatekey")
    (places.git_secret / "known_hosts").write_text(sshd.known_hosts, "utf-8")
    return places


def failure(places: Places) -> CloneFailure:
    return CloneFailure.model_validate_json(places.termination_log.read_text("utf-8"))


def commit_of(places: Places, document: TaskDocument) -> tuple[Git, str]:
    """Return the pristine repository and a new commit in it."""
    access = git_access(places, document)
    pristine = Git(places.pristine_repo, places.tmp, access.environment, access.config)
    base = CloneFacts.model_validate_json(places.clone_facts.read_bytes()).base_commit
    who = {f"GIT_{w}_{k}": "x" for w in ("AUTHOR", "COMMITTER") for k in ("NAME", "EMAIL")}
    made = pristine.run("commit-tree", "-p", base, "-m", "work", f"{base}^{{tree}}", extra=who)
    return pristine, made.decode().strip()


def test_clone_and_push(places: Places, document: TaskDocument, bare: Path):
    assert clone(places, document) == 0
    assert (places.repo / "src/calc.py").exists()
    pristine, commit = commit_of(places, document)
    secrets = secret_values(places)
    assert push(pristine, document.repo.url, commit, "agenttask/x", "", secrets) == ""
    assert git(bare, "rev-parse", "agenttask/x") == commit


def test_a_key_without_its_last_newline_is_good(places: Places, document: TaskDocument):
    key = places.git_secret / "ssh-privatekey"
    key.write_text(key.read_text("utf-8").rstrip("\n"), "utf-8")
    assert clone(places, document) == 0


@pytest.mark.parametrize("content", [None, "\n"])
def test_without_known_hosts_it_says_how_to_make_them(
    places: Places, document: TaskDocument, sshd: SshServer, content: str | None
):
    known = places.git_secret / "known_hosts"
    known.unlink() if content is None else known.write_text(content, "utf-8")
    assert clone(places, document) == 1
    assert failure(places).reason == "CloneAuthFailed"
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1" in failure(places).message


def test_another_host_key_is_refused(
    places: Places, document: TaskDocument, sshd: SshServer, tmp_path: Path
):
    make_key(tmp_path / "other")
    other = (tmp_path / "other.pub").read_text("utf-8").split()
    line = f"[127.0.0.1]:{sshd.port} {other[0]} {other[1]}\n"
    (places.git_secret / "known_hosts").write_text(line, "utf-8")
    assert clone(places, document) == 1
    assert failure(places).reason == "CloneAuthFailed"
    assert "host key" in failure(places).message
    assert not places.clone_facts.exists()


def test_a_key_with_a_passphrase_is_refused(places: Places, document: TaskDocument, tmp_path: Path):
    make_key(tmp_path / "locked", "correct horse")
    shutil.copyfile(tmp_path / "locked", places.git_secret / "ssh-privatekey")
    assert clone(places, document) == 1
    assert failure(places).reason == "CloneAuthFailed"
    assert "passphrase" in failure(places).message


@pytest.mark.parametrize(
    ("key", "said"), [(None, "has no ssh-privatekey"), ("nonsense", "no private key")]
)
def test_no_key_and_nonsense_are_told_apart(
    places: Places, document: TaskDocument, key: str | None, said: str
):
    path = places.git_secret / "ssh-privatekey"
    path.unlink() if key is None else path.write_text(key, "utf-8")
    assert clone(places, document) == 1
    assert failure(places).reason == "CloneAuthFailed"
    assert said in failure(places).message


def test_a_key_that_the_server_does_not_know_is_refused(
    places: Places, document: TaskDocument, tmp_path: Path
):
    shutil.copyfile(make_key(tmp_path / "stranger"), places.git_secret / "ssh-privatekey")
    assert clone(places, document) == 1
    assert failure(places).reason == "CloneAuthFailed"
    assert "refused the credentials" in failure(places).message


def test_missing_repository_is_told(places: Places, sshd: SshServer, tmp_path: Path):
    assert clone(places, document_of(sshd.url(tmp_path / "nope.git"))) == 1
    assert failure(places).reason == "CloneFailed"
    assert "no such repository" in failure(places).message


@pytest.mark.skipif(os.getuid() != 0, reason="only root may take another uid")
def test_a_uid_without_a_name_can_clone(places: Places, document: TaskDocument, tmp_path: Path):
    """As in the pod: any uid, group 0, and ssh alone would say `No user exists for uid`."""
    places.task_file.write_text(document.model_dump_json(by_alias=True), "utf-8")
    _open_to_group_zero(tmp_path)
    argv = ["setpriv", f"--reuid={SOMEBODY_UID}", "--regid=0", "--clear-groups", sys.executable]
    argv += ["-m", "agenttask_courier", "--root", str(tmp_path / "pod"), "clone"]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60, cwd="/")
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert (places.repo / "src/calc.py").exists()
    assert places.clone_facts.stat().st_uid == SOMEBODY_UID


def _open_to_group_zero(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o070 if path.is_dir() else 0o060))
    for path in folder.parents:
        if path.owner() == "root" and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)


def test_the_key_is_in_no_process_and_no_file_but_the_container_s_own(
    places: Places,
    document: TaskDocument,
    sshd: SshServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    """The server looks at every process of the machine while ssh waits for it."""
    seen = tmp_path / "seen"
    keep = sshd.witness.read_text("utf-8")
    look = f"cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>{seen} 2>/dev/null\n"
    sshd.witness.write_text(keep.replace("exec", f"{look}exec"), "utf-8")
    try:
        assert clone(places, document) == 0
        pristine, commit = commit_of(places, document)
        assert push(pristine, document.repo.url, commit, "agenttask/y", "", ()) == ""
    finally:
        sshd.witness.write_text(keep, "utf-8")
    secrets = [s.encode() for s in secret_values(places)]
    texts = {"processes": seen.read_bytes(), "output": capsys.readouterr().out.encode()}
    for root in (places.workspace, places.pristine, places.termination_log):
        texts |= {str(p): p.read_bytes() for p in (root, *root.rglob("*")) if p.is_file()}
    assert secrets
    assert b"git-upload-pack" in texts["processes"]
    assert b"UserKnownHostsFile" in texts["processes"]
    assert [name for name, text in texts.items() if any(s in text for s in secrets)] == []
    assert (places.tmp / "git-ssh-key").stat().st_mode & 0o077 == 0
