"""How git reaches a server over ssh: one key, one list of hosts, no other configuration.

Hosts that the Secret's `known_hosts` does not name are refused: a task that trusted the
first key it meets would give its code to whoever answers.
"""

import os
import pwd
import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from agenttask_courier.places import Places

_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "GlobalKnownHostsFile=/dev/null",
    "IdentityAgent=none",
    "IdentitiesOnly=yes",
)
_KEYGEN_SECONDS = 10.0
_NSS_WRAPPER = "libnss_wrapper.so"


def ssh_command(places: Places) -> str:
    """Return ssh as `GIT_SSH_COMMAND` takes it: paths of files, no secret."""
    known_hosts = places.git_secret / "known_hosts"
    argv = ["ssh", "-F", "/dev/null"]
    for option in (*_OPTIONS, f"UserKnownHostsFile={known_hosts}"):
        argv += ["-o", option]
    if _key(places).exists():
        argv += ["-i", str(_private_copy(places))]
    return shlex.join([*_named_user(places.tmp), *argv])


def complaint(places: Places, url: str) -> str:
    """Return why the Secret is not good for an ssh URL, and what to do; or an empty text."""
    if urlsplit(url).scheme != "ssh":
        return ""
    if not _key(places).exists():
        return "the Secret of repo.credentialsRef has no ssh-privatekey, which an ssh URL needs"
    known_hosts = places.git_secret / "known_hosts"
    if not known_hosts.exists() or not known_hosts.read_text("utf-8", "replace").strip():
        return _how_to_make_known_hosts(url)
    return _bad_key(_private_copy(places), places.tmp)


def _how_to_make_known_hosts(url: str) -> str:
    parts = urlsplit(url)
    port = f"-p {parts.port} " if parts.port else ""
    return (
        "the Secret of repo.credentialsRef has no known_hosts, so the host cannot be trusted: run "
        f"`ssh-keyscan {port}{parts.hostname} > known_hosts`, compare the key with what the host's "
        "operator publishes, and add the file to the Secret as known_hosts"
    )


def _bad_key(key: Path, tmp: Path) -> str:
    """Ask ssh-keygen whether the key opens without a passphrase."""
    argv = [*_named_user(tmp), "ssh-keygen", "-y", "-P", "", "-f", str(key)]
    done = subprocess.run(
        argv,
        capture_output=True,
        check=False,
        timeout=_KEYGEN_SECONDS,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
    )
    if done.returncode == 0:
        return ""
    if b"passphrase" in done.stderr:
        return (
            "the ssh-privatekey of repo.credentialsRef is protected by a passphrase, which nobody "
            "can type here: make a deploy key without one (`ssh-keygen -t ed25519 -N ''`)"
        )
    return "the ssh-privatekey of repo.credentialsRef is no private key that ssh can read"


def _key(places: Places) -> Path:
    return places.git_secret / "ssh-privatekey"


def _private_copy(places: Places) -> Path:
    """Return a copy that ssh accepts: a Secret's files are readable by their group.

    It ends in a newline, which ssh demands and `kubectl --from-literal` leaves out.
    """
    copy = places.tmp / "git-ssh-key"
    copy.unlink(missing_ok=True)
    copy.touch(mode=0o600)
    shutil.copyfile(_key(places), copy)
    with copy.open("ab") as file:
        file.write(b"\n")
    return copy


def _named_user(tmp: Path) -> list[str]:
    """Give ssh a name for a uid that `/etc/passwd` does not know; it refuses to run without.

    The pod's uid may be any (OpenShift gives every namespace its own) and the root
    filesystem is read-only, so a preloaded library answers for this one program.
    """
    uid, gid = os.getuid(), os.getgid()
    if _known(uid):
        return []
    passwd, group = tmp / "nss-passwd", tmp / "nss-group"
    passwd.write_text(f"agent:x:{uid}:{gid}:agent:{tmp}:/bin/sh\n", encoding="utf-8")
    group.write_text(f"agent:x:{gid}:\n", encoding="utf-8")
    variables = (
        f"LD_PRELOAD={_NSS_WRAPPER}",
        f"NSS_WRAPPER_PASSWD={passwd}",
        f"NSS_WRAPPER_GROUP={group}",
    )
    return ["env", *variables]


def _known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
