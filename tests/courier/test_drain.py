"""A pod that is ended while its courier is still starting."""

import asyncio

import httpx
from tests.courier.conftest import MakeDocument
from tests.courier.pod import running_pod
from tests.servers.vllm import VLLM

from agenttask_courier.control import control
from agenttask_courier.drain import drain
from agenttask_courier.places import Places


async def test_a_courier_that_is_still_starting_is_waited_for(places: Places):
    asked, done = asyncio.Event(), asyncio.Event()
    done.set()
    waiting = asyncio.create_task(asyncio.to_thread(drain, places, 5.0, 5.0))
    await asyncio.sleep(0.2)
    async with control(places.control_socket, asked.set, done):
        assert await waiting == 0
    assert asked.is_set()


async def test_no_run_begins_in_a_pod_that_is_ending(
    places: Places, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(), vllm.url):
        assert await asyncio.to_thread(drain, places, 5.0) == 0
        transport = httpx.AsyncHTTPTransport(uds=str(places.door_socket))
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.get("http://door/lifeline")
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "gate_closed"
