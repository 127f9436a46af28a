"""What a server sends is bounded, also when libpq reads it all at once."""

import asyncio
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.waiting import Ready, Wait

from agenttask_databases import libpq
from agenttask_databases.bounds import MAX_WIRE_BYTES

CHUNK = b"x" * (1 << 20)
LIMIT = 1 << 30
"""What the flood would send if nobody hung up: 1 GiB."""


@pytest.fixture
def wires() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end and the server's of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with ours, server:
        yield ours, server


def connection(wire: socket.socket) -> libpq.Connection:
    """A connection whose driver is at this socket and has nothing under way."""
    made = object.__new__(libpq.Connection)
    state = {"socket": wire.fileno(), "transaction_status": TransactionStatus.IDLE}
    state |= {"status": ConnStatus.BAD}
    made.pgconn = SimpleNamespace(**state)  # type: ignore[assignment]
    return made


def send(server: socket.socket, size: int) -> int:
    """Send until the size is reached or the other end hangs up; returns what was sent."""
    sent = 0
    try:
        while sent < size:
            server.sendall(CHUNK)
            sent += len(CHUNK)
    except ConnectionError:
        pass
    return sent


def one_gulp(wire: socket.socket, size: int) -> Generator[Wait, Ready, str]:
    """Read all in one of the driver's steps, as libpq does while data is there."""
    yield Wait.R
    left = size
    while left:
        left -= len(wire.recv(left))
    return "a row"


@pytest.mark.parametrize(("extra", "taken"), [(-1, True), (1, False)])
def test_one_gulp_is_counted(
    wires: tuple[socket.socket, socket.socket], extra: int, taken: bool
) -> None:
    ours, server = wires
    size = MAX_WIRE_BYTES + extra * len(CHUNK)
    threading.Thread(target=send, args=(server, size)).start()
    reading, steps = connection(ours), one_gulp(ours, size)
    if taken:
        assert asyncio.run(reading.wait(steps)) == "a row"
    else:
        with pytest.raises(psycopg.OperationalError):
            asyncio.run(reading.wait(steps))
    assert reading.overrun is not taken


def test_a_gulp_without_an_end_is_cut(wires: tuple[socket.socket, socket.socket]) -> None:
    ours, server = wires
    sent: list[int] = []
    sending = threading.Thread(target=lambda: sent.append(send(server, LIMIT)))
    sending.start()
    with connection(ours).bounded(), suppress(ConnectionError):
        while ours.recv(len(CHUNK)):
            pass
    ours.close()
    sending.join(30)
    assert MAX_WIRE_BYTES < sent[0] < LIMIT
