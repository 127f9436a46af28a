"""An event loop whose connections may receive only so much.

A single value may be gigabytes long, and drivers hold a whole message before they
show it. Every statement runs in a loop of its own, so the loop is where all that
arrives can be counted, whichever driver asked for it. (libpq reads its socket itself;
`libpq` counts there.)
"""

import asyncio
from collections.abc import Callable
from typing import Any

from agenttask_databases.bounds import MAX_WIRE_BYTES, TooMuch


class CountedLoop(asyncio.SelectorEventLoop):
    """Hangs up on a server that has sent more than is taken."""

    received = 0

    async def create_connection(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """Open a connection whose bytes are counted."""
        return await super().create_connection(
            lambda: self._counted(protocol_factory()), *args, **kwargs
        )

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Say nothing: what a driver leaves behind may name the address."""

    def _counted(self, protocol: Any) -> Any:
        deliver: Callable[[bytes], None] = protocol.data_received

        def count(data: bytes) -> None:
            self.received += len(data)
            if self.exceeded:
                raise TooMuch
            deliver(data)

        protocol.data_received = count
        return protocol

    @property
    def exceeded(self) -> bool:
        """Whether more has arrived than is taken."""
        return self.received > MAX_WIRE_BYTES
