"""`timeout hack/test ...`: the cluster of a run that was told to stop goes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.tasks import eventually

ROOT = Path(__file__).parents[2]
BUSY = """
import pathlib, time, pytest

@pytest.fixture(scope="session")
def thing():
    yield
    pathlib.Path("taken-down").touch()

def test_busy(thing):
    pathlib.Path("begun").touch()
    time.sleep(60)
"""


def start(folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    """Run a test that sleeps, with a kind that writes down what it is told."""
    kind = folder / "kind"
    kind.write_text(f'#!/bin/sh\necho "$@" >> {folder}/told\n', "utf-8")
    kind.chmod(0o755)
    (folder / "test_busy.py").write_text(BUSY, "utf-8")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "tests.goodbye", "--rootdir", str(folder)]
    argv += ["--cluster-name", "c", "--kind-bin", str(kind), *options, "test_busy.py"]
    process = subprocess.Popen(argv, cwd=folder, env={"PYTHONPATH": str(ROOT)})
    eventually(lambda: (folder / "begun").exists(), 30, "the test to begin")
    return process


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["one process", "a worker process"])
def test_run_that_is_told_to_stop_takes_its_cluster_away(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    process = start(tmp_path, *options)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == pytest.ExitCode.INTERRUPTED
    assert (tmp_path / "told").read_text("utf-8") == "delete cluster --name c\n"
    assert options or (tmp_path / "taken-down").exists()


def test_cluster_that_is_to_be_kept_is_kept(tmp_path: Path) -> None:
    process = start(tmp_path, "--keep-cluster")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == pytest.ExitCode.INTERRUPTED
    assert not (tmp_path / "told").exists()
