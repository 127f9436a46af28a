"""The task's connections: answered at the door of a run, their keys known as secrets."""

import json

import pytest
from tests.courier.conftest import MakeDocument, write_files
from tests.courier.pod import Pod, running_pod
from tests.servers.nats import free_port
from tests.servers.vllm import VLLM

from agenttask_courier.credentials import MIN_SECRET_CHARACTERS, known_secrets
from agenttask_courier.places import Places

DB_PASSWORD = "pl4nted-db-passw0rd"
CONNECTIONS = [{"name": "cache", "kind": "redis", "secretRef": {"name": "cache-db"}}]
GET = {"kind": "redis_command", "command": ["GET", "x"], "seconds": 2}


@pytest.fixture
def url(places: Places) -> str:
    """Lay down the connection's keys, which lead to a closed port."""
    url = f"redis://agent:{DB_PASSWORD}@127.0.0.1:{free_port()}/0"
    write_files(places.db_secrets / "cache", {"url": f"{url}\n"})
    return url


async def asked(pod: Pod, name: str) -> tuple[int, str]:
    response = await pod.agent.door.post(f"/db/{name}", json=GET)
    return response.status_code, response.json()["error"]["type"]


async def test_a_statement_is_answered_only_while_the_agent_runs(
    places: Places, url: str, make_document: MakeDocument, vllm: VLLM, capfd
):
    async with running_pod(places, make_document(connections=CONNECTIONS), vllm.url) as pod:
        await pod.agent.attach()
        assert await asked(pod, "cache") == (503, "database_unavailable")
        assert await asked(pod, "other") == (404, "unknown_connection")
        await pod.agent.hand_in(b"")
        await pod.agent.receipt()
        assert await asked(pod, "cache") == (409, "Conflict")
    printed = capfd.readouterr().out
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert [e["connection"] for e in events if e["event"] == "db.request"] == ["cache"]
    assert DB_PASSWORD not in printed


async def test_a_task_without_connections_has_no_such_door(
    places: Places, url: str, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url) as pod:
        await pod.agent.attach()
        assert await asked(pod, "cache") == (404, "NotFound")


@pytest.mark.parametrize("leak", [DB_PASSWORD, "the url"])
async def test_a_leaked_key_is_not_pushed(
    places: Places, url: str, make_document: MakeDocument, vllm: VLLM, leak: str
):
    text = url if leak == "the url" else leak
    async with running_pod(places, make_document(connections=CONNECTIONS), vllm.url) as pod:
        await pod.agent.attach()
        pod.agent.commit({"notes.txt": f"{text}\n"})
        await pod.agent.hand_in()
        receipt = await pod.agent.receipt()
    assert receipt["reason"] == "PolicyDenied"
    assert DB_PASSWORD not in receipt["message"]


def test_short_passwords_are_no_secrets_to_search_for(
    places: Places, make_unreachable: MakeDocument
):
    write_files(places.db_secrets / "cache", {"host": "db.example", "password": "redis"})
    found = known_secrets(places, make_unreachable(connections=CONNECTIONS))
    assert found
    assert all(len(value) >= MIN_SECRET_CHARACTERS for value in found)


def test_all_secrets_are_known_longest_first(
    places: Places, url: str, make_unreachable: MakeDocument
):
    found = known_secrets(places, make_unreachable(connections=CONNECTIONS))
    assert {url, DB_PASSWORD} < set(found)
    assert list(found) == sorted(found, key=len, reverse=True)
