"""Removes what a run has left at its container engine: an agent that was killed could not.

By the engine's own HTTP API, which podman and docker both serve. The courier's image has
no client of theirs, and needs none for two lists and a few deletions.
"""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus

import aiohttp

from agenttask_api.engine import CONTAINER, IMAGE, KIND_LABEL, RUN_LABEL, run_word
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.journal import log

API = "/v1.40"
"""Docker 19.03 and podman 3 have it, and everything newer."""
REQUEST_SECONDS = 15.0
TIDY_SECONDS = 30.0


async def tidy(document: TaskDocument, index: int) -> None:
    """Remove a run's containers and images; what cannot be removed is told and no failure."""
    if not document.docker_host:
        return
    word = run_word(document.identity, str(index))
    try:
        removed, left = await remove(document.docker_host, word)
    except (aiohttp.ClientError, OSError, ValueError, AttributeError, KeyError) as error:
        log("engine.untidy", error=f"{type(error).__name__}: {error}"[:300], word=word)
    else:
        log("engine.tidy", removed=removed, left=left, word=word)


async def remove(address: str, word: str) -> tuple[int, int]:
    """Remove what carries a run's label; return how much that was and how much is left.

    Raises aiohttp.ClientError or OSError when the engine does not answer, others when it
    talks nonsense.
    """
    base = address.replace("tcp://", "http://", 1) + API
    limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with aiohttp.ClientSession(timeout=limits) as client:
        found = await _all(client, base, word)
        for url in found:
            async with client.delete(url, params={"force": "true"}, allow_redirects=False):
                pass
        return len(found), len(await _all(client, base, word)) if found else 0


async def _all(client: aiohttp.ClientSession, base: str, word: str) -> list[str]:
    """Return the addresses of containers and images, in the order in which they can go."""
    containers = await _listed(client, f"{base}/containers", word, CONTAINER)
    return containers + await _listed(client, f"{base}/images", word, IMAGE)


async def _listed(client: aiohttp.ClientSession, url: str, word: str, kind: str) -> list[str]:
    """Return the addresses of one kind; podman's own filter by two labels finds no image."""
    params = {"filters": json.dumps({"label": [f"{RUN_LABEL}={word}"]})}
    asked = {**params, "all": "true"}
    async with client.get(f"{url}/json", params=asked, allow_redirects=False) as answer:
        if answer.status != HTTPStatus.OK:
            raise ValueError(f"the engine answers {answer.status} when asked for {url}")
        found = json.loads(await answer.read())
    numbers = _numbers(found, {RUN_LABEL: word, KIND_LABEL: kind})
    return [f"{url}/{number}" for number in dict.fromkeys(numbers)]


def _numbers(found: object, labels: Mapping[str, str]) -> Iterator[str]:
    for item in found if isinstance(found, list) else []:
        own = item.get("Labels") or {}
        if all(own.get(name) == value for name, value in labels.items()):
            yield str(item["Id"])
