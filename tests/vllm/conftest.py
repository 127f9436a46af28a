"""Real vLLM servers on the CPU, installed by hack/vllm/serve. Only `make test-vllm` comes here.

Memory allows one model at a time beside a cluster, so each is up while its module runs.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.e2e.conftest import git_access, home, loaded_images, namespace, testbed

__all__ = ["git_access", "home", "loaded_images", "namespace", "testbed"]
SERVE = Path(__file__).parents[2] / "hack" / "vllm" / "serve"
START_SECONDS = 900


@dataclass(frozen=True)
class Served:
    """A running model server."""

    url: str
    port: int
    model: str


@contextmanager
def serving(model: str, port: int, **options: str) -> Iterator[Served]:
    """Serve the model until the block ends; one that is up already is used and left."""
    served = Served(f"http://127.0.0.1:{port}", port, model)
    ours = not _is_up(served)
    environ = {**os.environ, "NAME": model, "PORT": str(port), **options}
    if ours:
        subprocess.run([SERVE, "serve"], env=environ, check=True, timeout=START_SECONDS)
    try:
        yield served
    finally:
        if ours:
            subprocess.run([SERVE, "stop"], env=environ, check=True, timeout=START_SECONDS)


def _is_up(served: Served) -> bool:
    try:
        models = httpx.get(f"{served.url}/v1/models", timeout=5).json()["data"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    assert [m["id"] for m in models] == [served.model], f"port {served.port} is another model's"
    return True


@pytest.fixture(scope="module")
def coder() -> Iterator[Served]:
    """The small coder model."""
    with serving("q05", 8123) as served:
        yield served


@pytest.fixture(scope="module")
def noise() -> Iterator[Served]:
    """A model with random weights, at a server whose grammars allow any whitespace."""
    with serving("tiny", 8125, STRUCTURED="") as served:
        yield served
