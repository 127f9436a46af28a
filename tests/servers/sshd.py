"""A real OpenSSH server on 127.0.0.1: its own host key, one client key, git behind it.

It runs as whoever runs the tests and lets exactly that account in. Every command goes
through `witness`, a script that a test may fill, before git gets it.
"""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 15.0


@dataclass(frozen=True)
class SshServer:
    """A running server and what a client needs."""

    port: int
    client_key: Path
    known_hosts: str
    witness: Path
    log: Path

    def url(self, repository: Path) -> str:
        """Return the address of a bare repository."""
        user = pwd.getpwuid(os.getuid()).pw_name
        return f"ssh://{user}@127.0.0.1:{self.port}{repository}"


def make_key(path: Path, passphrase: str = "") -> Path:
    """Make an ed25519 key pair and return the private key's path."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True)
    return path


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Serve until the block ends; keys and logs lie in the folder."""
    folder.mkdir(parents=True)
    host_key, client_key = make_key(folder / "host"), make_key(folder / "client")
    (folder / "authorized").write_bytes((folder / "client.pub").read_bytes())
    witness = _witness(folder)
    port = _free_port()
    config = _config(folder, host_key, witness, port)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd of root insists on it.
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "install openssh-server (hack/prerequisites test)"
    log = folder / "log"
    with log.open("wb") as output:
        argv = [program, "-D", "-e", "-f", str(config)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=output)
    try:
        _wait(port, process, log)
        public = (folder / "host.pub").read_text("utf-8").split()
        known = f"[127.0.0.1]:{port} {public[0]} {public[1]}\n"
        yield SshServer(port, client_key, known, witness, log)
    finally:
        process.terminate()
        process.wait(10)


def _config(folder: Path, host_key: Path, witness: Path, port: int) -> Path:
    config = folder / "config"
    lines = (
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {host_key}",
        f"PidFile {folder / 'pid'}",
        f"AuthorizedKeysFile {folder / 'authorized'}",
        f"ForceCommand {witness}",
        "AuthenticationMethods publickey",
        "PermitRootLogin prohibit-password",
        "StrictModes no",
        "UsePAM no",
    )
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _witness(folder: Path) -> Path:
    script = folder / "witness"
    script.write_text('#!/bin/sh\nexec sh -c "$SSH_ORIGINAL_COMMAND"\n', encoding="utf-8")
    script.chmod(0o755)
    return script


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        said = log.read_text("utf-8")
        assert process.poll() is None, f"sshd ended: {said}"
        assert time.monotonic() < end, f"sshd does not listen: {said}"
        time.sleep(0.05)
