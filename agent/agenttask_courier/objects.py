"""Store files in a NATS object store, as its own clients do, with many chunks on their way.

nats-py waits for the answer to each chunk before it sends the next one. Here a window of
them is open, so the speed is the server's and memory stays at the window's size.
"""

import asyncio
import base64
import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from nats.js import JetStreamContext
from nats.js.api import ObjectInfo, ObjectMetaOptions, PubAck
from nats.js.errors import NotFoundError
from nats.js.object_store import ObjectStore

from agenttask_api.events import artifact_stream
from agenttask_courier.inbox import StoredFile

CHUNK_BYTES = 128 * 1024
"""The object store's own default."""
WINDOW = 64
"""Chunks on their way: 8 MiB."""
BLOCK_CHUNKS = 8
"""Read at once: each read is a visit to another thread."""
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Bucket:
    """One object store bucket."""

    jetstream: JetStreamContext
    name: str

    @property
    def stream(self) -> str:
        """The stream under it."""
        return artifact_stream(self.name).name

    async def put(self, key: str, file: StoredFile) -> None:
        """Store the file under the key, unless just that is there; raises nats errors."""
        size, digest = file.size, _digest(file.sha256)
        before = await self._info(key)
        if before and not before.deleted and (before.size, before.digest) == (size, digest):
            return
        nuid = self.jetstream._nc._nuid.next().decode()
        try:
            chunks = await self._send_chunks(file.path, f"$O.{self.name}.C.{nuid}")
            await self._send_meta(
                ObjectInfo(
                    name=key,
                    bucket=self.name,
                    nuid=nuid,
                    size=size,
                    chunks=chunks,
                    digest=digest,
                    deleted=False,
                    options=ObjectMetaOptions(max_chunk_size=CHUNK_BYTES),
                )
            )
        except BaseException:
            await self._drop(nuid)
            raise
        if before and before.nuid and not before.deleted:
            await self._drop(before.nuid)

    async def _info(self, key: str) -> ObjectInfo | None:
        store = ObjectStore(self.name, self.stream, self.jetstream)
        try:
            return await store.get_info(key)
        except NotFoundError:
            return None

    async def _send_chunks(self, path: Path, subject: str) -> int:
        waiting: deque[asyncio.Future[PubAck]] = deque()
        count = 0
        with path.open("rb") as file:
            while block := await asyncio.to_thread(file.read, CHUNK_BYTES * BLOCK_CHUNKS):
                for at in range(0, len(block), CHUNK_BYTES):
                    chunk = block[at : at + CHUNK_BYTES]
                    waiting.append(await self.jetstream.publish_async(subject, chunk))
                    count += 1
                while len(waiting) > WINDOW:
                    await asyncio.wait_for(waiting.popleft(), ANSWER_SECONDS)
        for answer in waiting:
            await asyncio.wait_for(answer, ANSWER_SECONDS)
        return count

    async def _send_meta(self, info: ObjectInfo) -> None:
        assert info.name
        encoded = base64.urlsafe_b64encode(info.name.encode()).decode()
        await self.jetstream.publish(
            f"$O.{self.name}.M.{encoded}",
            json.dumps(info.as_dict()).encode(),
            headers={"Nats-Rollup": "sub"},
        )

    async def _drop(self, nuid: str) -> None:
        await self.jetstream.purge_stream(self.stream, subject=f"$O.{self.name}.C.{nuid}")


def _digest(sha256: str) -> str:
    """Return the checksum as an object store writes it."""
    return f"SHA-256={base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode()}"
