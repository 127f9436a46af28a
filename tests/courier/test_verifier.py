"""The verifier's commands: environment, bounds, and nothing left running."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.courier.pod import eventually

from agenttask_api.verification import StepResult
from agenttask_courier.places import Places
from agenttask_courier.sockets import listen
from agenttask_courier.steps import MAX_STEP_OUTPUT_BYTES, CappedOutput
from agenttask_courier.verifier import verifier_app


@pytest.fixture
async def verifier(places: Places) -> AsyncIterator[httpx.AsyncClient]:
    for name in ("1", "1-reports"):
        (places.checkout / name).mkdir()
    transport = httpx.AsyncHTTPTransport(uds=str(places.verifier_socket))
    async with (
        listen(verifier_app(places), places.verifier_socket),
        httpx.AsyncClient(transport=transport, base_url="http://v", timeout=30) as client,
    ):
        yield client


def request(places: Places, **fields: object) -> dict[str, object]:
    folders = {
        "directory": str(places.checkout / "1"),
        "reports": str(places.checkout / "1-reports"),
    }
    return {**folders, **fields}


def step(name: str, *run: str, seconds: int = 20) -> dict[str, object]:
    return {"name": name, "run": list(run), "timeoutSeconds": seconds}


async def ran(
    verifier: httpx.AsyncClient, places: Places, *run: str, seconds: int = 20, **fields: object
) -> StepResult:
    """Run one verify step and return its result."""
    body = request(places, verify=[step("s", *run, seconds=seconds)], **fields)
    answer = await verifier.post("/verify", json=body)
    assert answer.status_code == 200, answer.text
    return StepResult.model_validate(answer.json()["verify"][0])


async def test_environment_is_made_from_nothing(
    verifier: httpx.AsyncClient, places: Places, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SECRET_OF_THE_CONTAINER", "x")
    given = {"PATH": "/evil", "HOME": "/evil", "LD_PRELOAD": "/evil", "FOO": "bar"}
    env = [{"name": name, "value": value} for name, value in given.items()]
    result = await ran(verifier, places, "env", env=env)
    seen = dict(line.split("=", 1) for line in result.output.splitlines())
    assert "SECRET_OF_THE_CONTAINER" not in seen
    assert "LD_PRELOAD" not in seen
    assert seen["FOO"] == "bar"
    assert seen["CI"] == "true"
    assert seen["HOME"] == str(places.home)
    assert seen["AGENTTASK_REPORTS"] == str(places.checkout / "1-reports" / "s")
    assert "/evil" not in result.output


async def test_setup_stops_at_its_first_failure_and_verify_runs_all(
    verifier: httpx.AsyncClient, places: Places
):
    body = request(
        places,
        setup=[step("a", "true"), step("b", "false"), step("c", "true")],
        verify=[step("d", "true")],
    )
    answer = (await verifier.post("/verify", json=body)).json()
    assert [s["name"] for s in answer["setup"]] == ["a", "b"]
    assert answer["verify"] == []
    body = request(places, verify=[step("d", "false"), step("e", "true")])
    answer = (await verifier.post("/verify", json=body)).json()
    assert [s["exitCode"] for s in answer["verify"]] == [1, 0]


async def test_timeout_kills_the_children_too(
    verifier: httpx.AsyncClient, places: Places, tmp_path: Path
):
    pid_file = tmp_path / "pid"
    script = f"sleep 300 & echo $! >{pid_file}; echo started; wait"
    result = await ran(verifier, places, "sh", "-c", script, seconds=1)
    assert result.timed_out
    assert result.exit_code is None
    assert "started" in result.output
    await eventually(lambda: not _runs(int(pid_file.read_text("utf-8"))))


async def test_child_left_behind_neither_lives_nor_delays(
    verifier: httpx.AsyncClient, places: Places, tmp_path: Path
):
    pid_file = tmp_path / "pid"
    started = time.monotonic()
    result = await ran(verifier, places, "sh", "-c", f"sleep 300 & echo $! >{pid_file}")
    assert result.exit_code == 0
    assert time.monotonic() - started < 5
    await eventually(lambda: not _runs(int(pid_file.read_text("utf-8"))))


async def test_child_that_left_the_group_does_not_delay(
    verifier: httpx.AsyncClient, places: Places, tmp_path: Path
):
    pid_file = tmp_path / "pid"
    script = (
        f"setsid sh -c 'echo $$ >{pid_file}; exec sleep 60' & while [ ! -s {pid_file} ]; do :; done"
    )
    started = time.monotonic()
    result = await ran(verifier, places, "sh", "-c", script)
    assert result.exit_code == 0
    assert time.monotonic() - started < 5
    os.kill(int(pid_file.read_text("utf-8")), signal.SIGKILL)


async def test_missing_program_is_said(verifier: httpx.AsyncClient, places: Places):
    result = await ran(verifier, places, "no-such-program")
    assert result.exit_code is None
    assert not result.timed_out
    assert "no such program" in result.output


async def test_endless_output_is_cut_in_the_middle(verifier: httpx.AsyncClient, places: Places):
    script = "print('first'); print('x' * 5_000_000); print('last')"
    result = await ran(verifier, places, sys.executable, "-c", script)
    assert result.output.startswith("first")
    assert result.output.endswith("last\n")
    assert len(result.output) < MAX_STEP_OUTPUT_BYTES + 100
    assert "bytes left out" in result.output


def test_capped_output_holds_no_more_than_its_cap():
    output = CappedOutput()
    for _ in range(1000):
        output.add(b"x" * 1000)
    assert len(output.head) + len(output.tail) == MAX_STEP_OUTPUT_BYTES
    assert output.left_out == 1_000_000 - MAX_STEP_OUTPUT_BYTES


async def test_folder_outside_the_checkout_is_refused(
    verifier: httpx.AsyncClient, places: Places, tmp_path: Path
):
    (places.checkout / "out").symlink_to(tmp_path)
    for folder in (str(tmp_path), str(places.checkout), str(places.checkout / "out")):
        answer = await verifier.post("/verify", json=request(places, directory=folder))
        assert answer.status_code == 400


async def test_malformed_request_is_refused(verifier: httpx.AsyncClient):
    assert (await verifier.post("/verify", content=b"{")).status_code == 400


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
