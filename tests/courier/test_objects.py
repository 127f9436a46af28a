"""Artifacts in a real object store: whole, once, and readable by NATS's own client."""

import os
from pathlib import Path

import pytest
from tests.servers.nats import NatsServer

import nats as nats_py
from agenttask_courier.inbox import stored
from agenttask_courier.objects import CHUNK_BYTES, WINDOW, Bucket

NAME = "agent-artifacts-team-a"


@pytest.fixture
async def jetstream(nats: NatsServer):
    client = await nats_py.connect(nats.url)
    await client.jetstream().create_object_store(NAME)
    yield client.jetstream()
    await client.close()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES * (WINDOW + 3) + 1])
async def test_others_read_what_was_stored(jetstream, size: int, tmp_path: Path):
    path = tmp_path / "f"
    path.write_bytes(os.urandom(size))
    await Bucket(jetstream, NAME).put("a/b", stored("f", path))
    store = await jetstream.object_store(NAME)
    assert (await store.get("a/b")).data == path.read_bytes() or size == 0
    assert (await store.get_info("a/b")).size == size


async def test_repeat_stores_nothing(jetstream, tmp_path: Path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * CHUNK_BYTES * 3)
    bucket = Bucket(jetstream, NAME)
    await bucket.put("a", stored("f", path))
    before = (await jetstream.stream_info(bucket.stream)).state.last_seq
    await bucket.put("a", stored("f", path))
    assert (await jetstream.stream_info(bucket.stream)).state.last_seq == before


async def test_other_content_replaces_the_first(jetstream, tmp_path: Path):
    path = tmp_path / "f"
    bucket = Bucket(jetstream, NAME)
    for content in (b"one" * CHUNK_BYTES, b"two"):
        path.write_bytes(content)
        await bucket.put("a", stored("f", path))
    assert (await jetstream.stream_info(bucket.stream)).state.messages == 2
    store = await jetstream.object_store(NAME)
    assert (await store.get("a")).data == b"two"
