"""The proxy itself, before a server that says nothing; no cluster is needed."""

import contextlib
import gc
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx
import pytest
from tests.chaos.proxy import Fault, Proxy
from tests.e2e.tasks import eventually
from tests.servers.certs import Certificates

FAULTS = (
    Fault(lambda call: "falls-silent" in call.query, silent=True),
    Fault(lambda call: "hangs" in call.query, hang=True),
)
WATCHES = ("plain", "falls-silent", "hangs")


class Mute(BaseHTTPRequestHandler):
    """Answers nothing, whether its client stays or goes."""

    asked: ClassVar[list[str]] = []
    over = threading.Event()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.over.wait()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def mute(certificates: Certificates) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Mute) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        Mute.over.set()
        server.shutdown()


def ask(url: str, context: ssl.SSLContext) -> None:
    """Watch until the proxy ends it."""
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(url, verify=context, timeout=None)


def test_proxy_that_stops_leaves_no_request_behind(
    mute: str, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    proxy = Proxy(mute, context, certificates)
    proxy.start()
    calls = proxy.calls
    proxy.faults = FAULTS
    urls = [f"{proxy.url}/?watch=true&{which}" for which in WATCHES]
    clients = [threading.Thread(target=ask, args=(url, context)) for url in urls]
    for client in clients:
        client.start()
    eventually(lambda: len(calls) == len(WATCHES), 10, "all to ask the proxy")
    eventually(lambda: len(Mute.asked) == len(WATCHES) - 1, 10, "those that are passed on")
    proxy.stop()
    for client in clients:
        client.join()
    del proxy
    gc.collect()
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []
