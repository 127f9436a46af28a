"""What the courier loads when it starts: every pod pays for it in memory."""

import json
import subprocess
import sys

import pytest

TOO_HEAVY = {"httpx", "httpcore", "anyio", "h11", "git", "kopf", "kubernetes", "typer", "rich"}
SHOW = "import json, sys, {module}; print(json.dumps([*sys.modules]))"


def loaded(module: str) -> set[str]:
    """Return the top-level packages that a new process has after importing a module."""
    argv = [sys.executable, "-c", SHOW.format(module=module)]
    done = subprocess.run(argv, capture_output=True, check=True, text=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize("module", ["serve", "verifier", "clone", "drain"])
def test_courier_starts_without_what_it_does_not_need(module: str):
    found = loaded(f"agenttask_courier.{module}")
    assert "agenttask_courier" in found
    assert found & TOO_HEAVY == set()


def test_drain_starts_without_http_and_nats():
    assert loaded("agenttask_courier.drain") & {"aiohttp", "nats", "pydantic"} == set()
