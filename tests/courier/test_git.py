"""The one way to run git: what it is given, and that it always ends."""

import time
from pathlib import Path

import pytest
from tests.courier.conftest import document_of, write_files
from tests.servers.githttps import PASSWORD

from agenttask_courier.credentials import git_access, masked, secret_values
from agenttask_courier.git import Git, GitFailed, GitOutputTooLarge, GitTimeout
from agenttask_courier.places import Places
from agenttask_courier.remote import Trouble, explain, name_exists, without_userinfo


@pytest.fixture
def fake_git(tmp_path: Path) -> Git:
    """Return a Git whose program is a script that the test writes to `bin/git`."""
    (tmp_path / "bin").mkdir()
    return Git(tmp_path / "repo.git", tmp_path, path=f"{tmp_path}/bin:/usr/bin:/bin")


def script(git: Git, text: str) -> None:
    path = git.tmp / "bin" / "git"
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)


def test_environment_is_made_from_nothing(fake_git: Git, monkeypatch: pytest.MonkeyPatch):
    for name in ("GIT_DIR", "GIT_SSH_COMMAND", "GIT_CONFIG_COUNT", "VLLM_URL", "https_proxy"):
        monkeypatch.setenv(name, "from-outside")
    script(fake_git, "env")
    seen = fake_git.run("x").decode()
    assert "from-outside" not in seen
    assert "GIT_CONFIG_NOSYSTEM=1" in seen
    assert "GIT_TERMINAL_PROMPT=0" in seen


def test_timeout_kills_the_children(fake_git: Git):
    script(fake_git, "sleep 300 & wait")
    started = time.monotonic()
    with pytest.raises(GitTimeout):
        fake_git.run("x", timeout=0.2)
    assert time.monotonic() - started < 5


def test_too_much_output_is_refused(fake_git: Git):
    script(fake_git, "head -c 2000 /dev/zero")
    with pytest.raises(GitOutputTooLarge):
        fake_git.run("x", max_output=1000)


def test_failure_carries_status_and_words(fake_git: Git):
    script(fake_git, "echo 'fatal: no' >&2; exit 128")
    with pytest.raises(GitFailed, match="fatal: no") as failed:
        fake_git.run("x")
    assert failed.value.status == 128


def test_outside_configuration_is_not_read(places: Places):
    write_files(places.tmp, {".gitconfig": "[alias]\n\tx = !touch owned\n"})
    git = Git(places.pristine_repo, places.tmp)
    git.run("init", "--quiet", "--bare")
    with pytest.raises(GitFailed):
        git.run("x")
    with pytest.raises(GitFailed, match="not allowed"):
        git.run("ls-remote", "--", "ext::sh -c touch% owned")
    assert not (places.tmp / "owned").exists()


def test_ssh_key_is_copied_for_its_owner_alone_and_hosts_are_checked(places: Places):
    write_files(places.git_secret, {"ssh-privatekey": "key\n", "known_hosts": "h ssh-ed25519 A\n"})
    command = git_access(places, document_of("ssh://git@h/x.git")).environment["GIT_SSH_COMMAND"]
    copy = places.tmp / "git-ssh-key"
    assert f"-i {copy}" in command
    assert copy.stat().st_mode & 0o777 == 0o600
    assert "StrictHostKeyChecking=yes" in command
    assert f"UserKnownHostsFile={places.git_secret / 'known_hosts'}" in command


def test_secret_values_are_the_files_without_names_and_public_parts(places: Places):
    key = "\n".join(["-----BEGIN KEY-----", "a" * 64, "b" * 64, "-----END KEY-----"])
    write_files(places.git_secret, {"ssh-privatekey": key})
    write_files(places.model_secret, {"key": "sk-model\n"})
    write_files(places.nats_creds, {"token": "abc"})
    assert set(secret_values(places)) == {PASSWORD, "a" * 64, "b" * 64, "sk-model"}


def test_masking():
    assert masked("it is sk-model.", ("sk-model",)) == "it is <secret-hidden>."
    assert without_userinfo("at https://me:pw@host/x") == "at https://***@host/x"


@pytest.mark.parametrize(
    ("words", "trouble"),
    [
        ("fatal: Authentication failed for 'https://h/'", Trouble.AUTH),
        ("fatal: unable to access 'x': The requested URL returned error: 403", Trouble.AUTH),
        ("git@h: Permission denied (publickey).", Trouble.AUTH),
        ("Host key verification failed.", Trouble.HOST_KEY),
        ("fatal: unable to access 'x': Could not resolve host: h", Trouble.DNS),
        ("ssh: connect to host h port 22: Connection refused", Trouble.REFUSED),
        ("ssh: connect to host h port 22: Connection timed out", Trouble.TIMEOUT),
        (
            "fatal: unable to access 'x': The requested URL returned error: 503",
            Trouble.SERVER_ERROR,
        ),
        ("fatal: unable to access 'x': SSL certificate problem: self-signed", Trouble.TLS),
        (
            "fatal: unable to access 'x': GnuTLS recv error (-110): "
            "The TLS connection was non-properly terminated.",
            Trouble.INTERRUPTED,
        ),
        ("fatal: repository 'https://h/x/' not found", Trouble.NO_SUCH_REPOSITORY),
        ("fatal: couldn't find remote ref refs/heads/x", Trouble.NO_SUCH_REF),
        ("fatal: write error: No space left on device", Trouble.DISK_FULL),
        ("fatal: early EOF", Trouble.INTERRUPTED),
        ("something new", Trouble.OTHER),
    ],
)
def test_prose_is_understood(words: str, trouble: Trouble):
    failure = explain(GitFailed("fetch", 128, words), "https://me:pw@h/x", ())
    assert failure.trouble is trouble
    assert "pw" not in failure.message


def test_a_name_that_cannot_exist_is_known_at_once():
    assert name_exists("https://127.0.0.1/x")
