"""A web server on 127.0.0.1 that can misbehave, and a client allowed to reach it."""

import contextlib
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.toolboxes import Tools
from tests.servers.certs import Certificates

from agenttask_agent.results import ToolResult
from agenttask_agent.tools import http
from agenttask_agent.tools.http_addresses import Resolver
from agenttask_agent.tools.http_client import HttpClient
from agenttask_agent.tools.http_exchange import HttpLimits
from agenttask_agent.tools.http_policy import HostPolicy, HostRule
from agenttask_agent.tools.http_secrets import SecretScan

LOCAL = "127.0.0.1"
LIMITS = HttpLimits(request_bytes=10_000, response_bytes=10_000, seconds=2.0)
ENDLESS = 50_000_000
BOMB = gzip.compress(b"0" * ENDLESS)


@dataclass
class Seen:
    """One request as the server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Web(ThreadingHTTPServer):
    """Answers by path; keeps what it was asked and how much it could send."""

    daemon_threads = False
    block_on_close = True

    def __init__(self) -> None:
        super().__init__((LOCAL, 0), Handler)
        self.seen: list[Seen] = []
        self.sent = 0
        self.redirect_to = ""
        self.ending = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, path: str = "/", host: str = LOCAL) -> str:
        return f"http://{host}:{self.port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what many of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    """Serves one connection."""

    server: Web

    def do_get(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(length)
        self.server.seen.append(Seen(self.command, self.path, headers, body))
        PATHS.get(self.path.partition("?")[0], echo)(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_get

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def echo(handler: Handler) -> None:
    seen = handler.server.seen[-1]
    facts = {"method": seen.method, "path": seen.path, "body": seen.body.decode()}
    handler.answer(200, json.dumps(facts).encode(), Content_Type="application/json")


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while handler.server.sent < ENDLESS:
        handler.server.sent += handler.wfile.write(b"x" * 10_000)


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.ending.wait(0.05):
        handler.wfile.write(b".")


def drip_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.ending.wait(0.05):
        handler.wfile.write(b".")


def bomb(handler: Handler) -> None:
    handler.answer(200, BOMB, Content_Encoding="gzip")


def redirect(handler: Handler) -> None:
    status = int(handler.path.partition("=")[2] or 302)
    handler.answer(status, b"moved", Location=handler.server.redirect_to)


def cookie(handler: Handler) -> None:
    handler.answer(200, b"with\x1b[31mcolour", Set_Cookie="session=very-secret", X_Extra="shown")


def nonsense(handler: Handler) -> None:
    handler.wfile.write(b"this is not http\r\n\r\n")


PATHS: dict[str, Callable[[Handler], None]] = {
    "/endless": endless,
    "/drip": drip,
    "/drip-headers": drip_headers,
    "/bomb": bomb,
    "/redirect": redirect,
    "/cookie": cookie,
    "/missing": lambda handler: handler.answer(404, b"not here"),
    "/broken": lambda handler: handler.answer(200, b"\x1f\x8bnot gzip", Content_Encoding="gzip"),
    "/brotli": lambda handler: handler.answer(200, b"??", Content_Encoding="br"),
    "/binary": lambda handler: handler.answer(200, b"\x7fELF\0\0"),
    "/gzip": lambda handler: handler.answer(200, gzip.compress(b"packed"), Content_Encoding="gzip"),
    "/nonsense": nonsense,
}


@contextlib.contextmanager
def web(certificates: Certificates | None = None) -> Iterator[Web]:
    """Serve until the test is over, with TLS when there are certificates."""
    with Web() as server:
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.cert, certificates.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.ending.set()
            server.shutdown()
            thread.join()


@dataclass
class Names:
    """A resolver that knows what it is told, and counts how often it is asked."""

    known: dict[str, list[list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, _port: int) -> list[str]:
        self.asked.append(host)
        answers = self.known.get(host)
        if answers is None:
            raise socket.gaierror(f"unknown: {host}")
        return answers[min(self.asked.count(host), len(answers)) - 1]


def names(**known: str) -> Names:
    """Return a resolver where every name, `_` for `.`, has one address."""
    return Names({name.replace("_", "."): [[address]] for name, address in known.items()})


def literal(host: str, port: int) -> list[str]:
    """Resolve addresses to themselves, and nothing else."""
    return [host]


def client(
    server: Web,
    *hosts: str,
    resolver: Resolver = literal,
    exempt: bool = True,
    secrets: tuple[str, ...] = (),
    limits: HttpLimits = LIMITS,
    private: bool = False,
    tls: ssl.SSLContext | None = None,
) -> HttpClient:
    """Return a client that may ask this server, by its address and under other names."""
    rules = tuple(HostRule(host, port=server.port, private=private) for host in (LOCAL, *hosts))
    addresses = frozenset({LOCAL} if exempt else ())
    policy = HostPolicy(rules, resolver=resolver, exempt_addresses=addresses)
    return HttpClient(policy, SecretScan(secrets), limits, tls)


def within(seconds: float, started: float) -> bool:
    return time.monotonic() - started < seconds


@pytest.fixture
def server() -> Iterator[Web]:
    with web() as running:
        yield running


@pytest.fixture
def ask(make_tools: MakeTools, server: Web):
    """Call an http operation with a client of the given kind."""
    tools = make_tools(role=None, catalogue=http.OPERATIONS)

    def call(operation: str, *url: object, **arguments: Any) -> ToolResult:
        kind = arguments.pop("client", None) or client(server)
        arguments |= {"url": url[0]} if url else {}
        return with_client(tools, kind)(f"http.{operation}", **arguments)

    return call


def with_client(tools: Tools, http_client: HttpClient) -> Tools:
    tools.toolbox.context = replace(tools.toolbox.context, http=http_client)
    return tools
