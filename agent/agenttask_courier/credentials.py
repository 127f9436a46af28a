"""Git's credentials, by file only: never in an argument, a variable, a config or a URL.

git asks `GIT_ASKPASS` for name and password; ours is a short script that prints the
Secret's files. Every value read here is also what `masked` removes from texts
and what the secret scan looks for.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agenttask_api.taskdocument import GitPolicy, TaskDocument
from agenttask_courier import ssh
from agenttask_courier.places import Places
from agenttask_databases import connection

_ASKPASS = """#!/bin/sh
# Prints the Secret's file that git asks for; holds no secret itself. Only for the
# repository's own host: git follows a redirection and would ask for another one's, too.
case "$1" in
  *"://$AGENTTASK_GIT_HOST'"*|*"@$AGENTTASK_GIT_HOST'"*) ;;
  *) exit 1 ;;
esac
case "$1" in
  Username*)
    # A token alone: servers that take one do not look at the name.
    [ -e "$AGENTTASK_GIT_SECRET/username" ] || { echo git; exit; }
    exec cat "$AGENTTASK_GIT_SECRET/username" ;;
esac
[ -e "$AGENTTASK_GIT_SECRET/password" ] || exec cat "$AGENTTASK_GIT_SECRET/token"
exec cat "$AGENTTASK_GIT_SECRET/password"
"""
MIN_SECRET_CHARACTERS = 6
"""Shorter values occur in ordinary text, so they are neither masked nor searched."""
MASK = "<secret-hidden>"


@dataclass(frozen=True)
class GitAccess:
    """What one git process needs to reach the remote."""

    environment: dict[str, str]
    """Paths of files, no secret."""
    config: tuple[str, ...] = ()


def git_access(places: Places, document: TaskDocument) -> GitAccess:
    """Prepare the courier's own files and return how git finds them."""
    environment = _proxy(document.git)
    if _has_basic_auth(places.git_secret):
        environment["GIT_ASKPASS"] = str(_install_askpass(places.tmp))
        environment["AGENTTASK_GIT_SECRET"] = str(places.git_secret)
        environment["AGENTTASK_GIT_HOST"] = urlsplit(document.repo.url).netloc.rpartition("@")[2]
    environment["GIT_SSH_COMMAND"] = ssh.ssh_command(places)
    config = (f"http.sslCAInfo={places.ca_file}",) if places.ca_file.exists() else ()
    return GitAccess(environment, config)


def _proxy(policy: GitPolicy) -> dict[str, str]:
    """Return how git is told of the class's proxy; ssh goes its own way."""
    if not policy.proxy:
        return {}
    return {"https_proxy": policy.proxy, "no_proxy": ",".join(policy.no_proxy)}


def secret_values(places: Places) -> tuple[str, ...]:
    """Return every secret text this container can read, longest first."""
    folders = (places.git_secret, places.model_secret, places.nats_creds, places.nats_tls)
    found: set[str] = set()
    for folder in folders:
        for path in _files(folder):
            found.update(_secret_lines(path))
    return tuple(sorted(found, key=len, reverse=True))


def known_secrets(places: Places, document: TaskDocument) -> tuple[str, ...]:
    """Return `secret_values` and those of the task's databases, longest first."""
    databases = connection.secret_values(document.connections, places.db_secrets)
    found = {value for value in databases if len(value) >= MIN_SECRET_CHARACTERS}
    return tuple(sorted(found.union(secret_values(places)), key=len, reverse=True))


def masked(text: str, secrets: tuple[str, ...]) -> str:
    """Return the text with every secret value replaced."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _has_basic_auth(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("password", "token"))


def _install_askpass(tmp: Path) -> Path:
    script = tmp / "git-askpass.sh"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_ASKPASS, encoding="utf-8")
    script.chmod(0o700)
    return script


def _files(folder: Path) -> list[Path]:
    public = {"username", "known_hosts", "ca.crt", "tls.crt"}
    if not folder.is_dir():
        return []
    return [p for p in folder.iterdir() if p.is_file() and p.name not in public]


def _secret_lines(path: Path) -> set[str]:
    """Return what of a file is secret: its one value, or the long lines of a key file."""
    lines = [line.strip() for line in path.read_text("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("-----")]
    shortest = MIN_SECRET_CHARACTERS if len(lines) == 1 else 32
    return {line for line in lines if len(line) >= shortest}
