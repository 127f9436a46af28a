"""Connects to addresses that were checked, and only for as long as a call may take.

The URL keeps its name, so Host and the certificate's name stay as they are; the
socket goes to the address the policy returned. Every read and write gets what is
left until one deadline, so a server that drips bytes gains nothing.
"""

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore

MAX_ADDRESSES = 4
PIECE = 16384


@dataclass(frozen=True)
class Deadline:
    """A moment of the monotonic clock."""

    moment: float

    def left(self, exception: type[Exception]) -> float:
        """Return the seconds that are left; raises the exception when there are none."""
        left = self.moment - time.monotonic()
        if left <= 0:
            raise exception("the call took too long")
        return left


class PinnedBackend(httpcore.NetworkBackend):
    """Opens connections to the given addresses, whatever host is asked for."""

    def __init__(self, addresses: Iterable[str], deadline: Deadline) -> None:
        self._addresses = tuple(addresses)[:MAX_ADDRESSES]
        self._deadline = deadline
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the protocol's
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the protocol's
        local_address: str | None = None,  # noqa: ARG002 - the protocol's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - the protocol's
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; the host's name is not looked up."""
        problem: httpcore.ConnectError | None = None
        for address in self._addresses:
            left = self._deadline.left(httpcore.ConnectTimeout)
            try:
                return BoundedStream(self._real.connect_tcp(address, port, left), self._deadline)
            except httpcore.ConnectError as error:
                problem = error
        raise problem or httpcore.ConnectError("no address")


class BoundedStream(httpcore.NetworkStream):
    """A connection whose every step ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, self._deadline.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        for start in range(0, len(buffer), PIECE):
            left = self._deadline.left(httpcore.WriteTimeout)
            self._stream.write(buffer[start : start + PIECE], left)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(httpcore.ConnectTimeout)
        return BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, left), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
