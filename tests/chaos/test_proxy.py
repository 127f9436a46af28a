"""The proxy itself, before a server that says nothing; no cluster is needed."""

import contextlib
import gc
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from tests.chaos.proxy import Fault, Proxy
from tests.e2e.tasks import eventually
from tests.servers.certs import Certificates

FAULTS = (
    Fault(lambda call: "falls-silent" in call.query, silent=True),
    Fault(lambda call: "hangs" in call.query, hang=True),
)
OVER = threading.Event()
WATCHES = ("plain", "falls-silent", "hangs")


class Mute(BaseHTTPRequestHandler):
    """Begins an answer and says nothing more, whether its client stays or goes."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        OVER.wait()

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
        OVER.set()
        server.shutdown()


def ask(url: str, context: ssl.SSLContext, begun: threading.Event) -> None:
    """Watch until the proxy ends it."""
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.stream("GET", url, verify=context, timeout=None) as reply,
    ):
        begun.set()
        reply.read()


def test_proxy_that_stops_leaves_no_request_behind(
    mute: str, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    proxy = Proxy(mute, context, certificates)
    proxy.start()
    calls = proxy.calls
    proxy.faults = FAULTS
    begun = {which: threading.Event() for which in WATCHES}
    clients = [
        threading.Thread(target=ask, args=(f"{proxy.url}/?watch=true&{which}", context, event))
        for which, event in begun.items()
    ]
    for client in clients:
        client.start()
    eventually(lambda: len(calls) == len(WATCHES), 10, "all to be asked")
    assert begun["plain"].wait(10)
    assert begun["falls-silent"].wait(10)
    proxy.stop()
    for client in clients:
        client.join()
    del proxy
    gc.collect()
    assert [r.getMessage() for r in caplog.records if r.name == "asyncio"] == []
