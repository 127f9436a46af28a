"""A real nats-server with JetStream, which a test may stop and start again."""

import contextlib
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 10.0


def nats_binary() -> str:
    """Return nats-server: AGENTTASK_NATS_SERVER, as the cluster's tools build it, or the PATH's."""
    if given := os.environ.get("AGENTTASK_NATS_SERVER"):
        return given
    return built("nats-server") or "nats-server"


def built(name: str) -> str:
    """Return a program as the project's cluster builds it; empty = it cannot be built here."""
    kind = Path(__file__).parents[2] / "hack" / "cluster" / "kind"
    argv = [str(kind), "binary", name]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    path = done.stdout.strip()
    return path if done.returncode == 0 and Path(path).exists() else ""


@dataclass
class NatsServer:
    """One server on a fixed port with a folder that outlives a stop."""

    folder: Path
    binary: str
    port: int
    options: tuple[str, ...] = ()
    """More of its command line, such as `-c FILE`."""
    login: str = ""
    """`user:password@`, where the server asks for one."""
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"nats://{self.login}127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        argv = [
            self.binary,
            "-js",
            "-sd",
            str(self.folder),
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            *self.options,
        ]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.binary} does not listen on {self.port}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Kill the server; its folder stays."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _accepts(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
            return True
        return False


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
