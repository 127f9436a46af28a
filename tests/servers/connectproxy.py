"""A small HTTP proxy on 127.0.0.1 that knows CONNECT and nothing else, as for https."""

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

QUIET_SECONDS = 30.0
"""A tunnel on which nobody says anything for so long is closed."""


@dataclass
class Proxy:
    """A running proxy and where it was asked to connect to."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def connect_proxy() -> Iterator[Proxy]:
    """Serve until the block ends."""
    state = Proxy()

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            method, target, _ = self.rfile.readline(8192).decode().split(" ", 2)
            while self.rfile.readline(8192).strip():
                pass
            state.asked.append(f"{method} {target}")
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), 10) as far:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _relay(self.connection, far)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on what either says until one of them ends."""
    with contextlib.suppress(OSError):
        while True:
            ready, _, _ = select.select([one, other], [], [], QUIET_SECONDS)
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                (other if source is one else one).sendall(data)
            if not ready:
                return
