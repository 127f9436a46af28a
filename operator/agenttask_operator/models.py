"""How model endpoints are: asked over HTTP, as any client of theirs would.

Only what surely stands in every task's way closes an endpoint: no connection, or an error
of its own, twice in a row. A certificate that this process does not trust tells nothing
about the pods, which may trust it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from agenttask_api.reasons import Reason
from agenttask_operator.turns import Obstacle

PROBE_SECONDS = 3.0
FAILURES = 2
"""One failure may be a restart, or ours."""
MAX_METRICS_BYTES = 4 * 2**20

_SAMPLE = re.compile(
    rb"^vllm:num_requests_(running|waiting)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE
)


@dataclass(frozen=True)
class Health:
    """What one probe, and those before it, found out about an endpoint."""

    answers: bool | None = None
    """None = it cannot be told."""
    words: str = "not asked yet"
    key_required: bool | None = None
    running: float = 0.0
    waiting: float = 0.0
    """Requests inside the server, as vLLM counts them."""
    failures: int = 0
    """Probes in a row that found it not answering."""


async def probe(session: aiohttp.ClientSession, endpoint: str, before: Health) -> Health:
    """Return how the endpoint is now."""
    base = endpoint.rstrip("/")
    try:
        async with session.get(f"{base}/health") as reply:
            broken = reply.status if reply.status >= 500 else 0
        if broken:
            return _failed(before, f"/health answers {broken}")
        async with session.get(f"{base}/v1/models") as reply:
            status = reply.status
        if status >= 500:
            return _failed(before, f"/v1/models answers {status}")
        running, waiting = await _load(session, base)
    except aiohttp.ClientSSLError as error:
        return Health(None, f"its certificate cannot be checked here: {type(error).__name__}")
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        return _failed(before, f"no answer: {type(error).__name__}")
    required = {200: False, 401: True, 403: True}.get(status)
    return Health(True, "it answers", required, running, waiting)


async def _load(session: aiohttp.ClientSession, base: str) -> tuple[float, float]:
    """Return running and waiting requests; zeros where the server does not tell."""
    async with session.get(f"{base}/metrics") as reply:
        if reply.status != 200:
            return 0.0, 0.0
        body = await reply.content.read(MAX_METRICS_BYTES)
    return read_load(body)


def read_load(text: bytes) -> tuple[float, float]:
    """Return (running, waiting) of vLLM's metrics, over all its models."""
    sums = {b"running": 0.0, b"waiting": 0.0}
    for kind, value in _SAMPLE.findall(text):
        sums[kind] += float(value)
    return sums[b"running"], sums[b"waiting"]


def _failed(before: Health, words: str) -> Health:
    return Health(False, words, before.key_required, failures=before.failures + 1)


def closed(healths: Mapping[str, Health]) -> dict[str, Obstacle]:
    """Return the endpoints that take no task now, and why."""
    found: dict[str, Obstacle] = {}
    for endpoint, health in healths.items():
        if health.answers is False and health.failures >= FAILURES:
            words = f"model endpoint {endpoint} does not answer ({health.words})"
            found[endpoint] = Obstacle(Reason.MODEL_UNAVAILABLE, words)
        elif health.waiting > max(health.running, 1.0):
            words = f"model endpoint {endpoint} has more requests waiting than it works on"
            found[endpoint] = Obstacle(Reason.MODEL_AT_CAPACITY, words)
    return found
