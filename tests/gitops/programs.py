"""The controllers' programs and manifests, from pinned Go modules, and how they are run here."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agenttask_cluster.binaries import CACHE, MODULES, build_environment, ensure_binaries
from agenttask_cluster.toolchain import ensure_go

STOP_SECONDS = 30


def program(name: str) -> Path:
    """Return the program, built from source if it is not in the cache (minutes)."""
    return ensure_binaries([name], print)[name]


def module_folder(module: str, package: str) -> Path:
    """Return where a Go module's files are, `package` being its path and version."""
    go = str(ensure_go(CACHE))
    done = subprocess.run(
        [go, "mod", "download", "-json", package],
        cwd=MODULES / module, env=build_environment(go), check=True, capture_output=True,
    )  # fmt: skip
    return Path(json.loads(done.stdout)["Dir"])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(log: Path, *argv: str, **environment: str) -> Iterator[None]:
    """Run a program until the block ends; its output is kept in the file."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield
            assert process.poll() is None, log.read_text("utf-8", "replace")[-3000:]
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def await_http(url: str, seconds: float = 60) -> None:
    """Wait until something answers there."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert time.monotonic() < end, f"nothing answers at {url}"
            time.sleep(0.2)


def await_port(port: int, seconds: float = 60) -> None:
    """Wait until something listens there."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            assert time.monotonic() < end, f"nothing listens on {port}"
            time.sleep(0.2)
        else:
            return
