"""A real git server: `git http-backend`, behind TLS and basic auth if asked.

Bound to 127.0.0.1 on a free port. `fail_with` makes it answer a status instead, so
that tests meet real servers having a bad day.
"""

import base64
import gzip
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.servers.certs import Certificates

USERNAME = "courier"
PASSWORD = "s3cret-of-the-git-server"


@dataclass
class GitServer:
    """A running server; its repositories are the bare ones below `root`."""

    root: Path
    port: int = 0
    auth: bool = True
    scheme: str = "https"
    username: str = USERNAME
    fail_with: list[int] = field(default_factory=list)
    """Statuses for the next requests, first one first."""
    redirect_to: str = ""
    """Where everybody who may see the repository is sent instead; empty = nowhere."""
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    """What each request said of who it is; empty = nothing."""
    on_request: Callable[[], None] = lambda: None
    """Called while the client waits for its answer."""

    def url(self, name: str) -> str:
        """Return the address of a repository."""
        return f"{self.scheme}://127.0.0.1:{self.port}/{name}"

    def git(self, name: str, *arguments: str) -> str:
        """Run git in a repository on the server's side."""
        argv = ["git", f"--git-dir={self.root / name}", *arguments]
        done = subprocess.run(argv, check=True, capture_output=True, env=_environment(self.root))
        return done.stdout.decode().strip()


@contextmanager
def git_server(
    root: Path, certificates: Certificates | None, auth: bool = True
) -> Iterator[GitServer]:
    """Serve the bare repositories below `root` until the block ends; no certificates: no TLS."""
    server = GitServer(root, auth=auth, scheme="https" if certificates else "http")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, server))
    httpd.daemon_threads = True
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.cert, certificates.key)
        httpd.socket = context.wrap_socket(
            httpd.socket, server_side=True, do_handshake_on_connect=False
        )
    server.port = httpd.server_address[1]
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def __init__(self, state: GitServer, *args: Any) -> None:
        self.state = state
        super().__init__(*args)

    def do_GET(self) -> None:
        self.state.requests.append(f"{self.command} {self.path}")
        self.state.authorizations.append(self.headers.get("Authorization", ""))
        body = self._body()
        self.state.on_request()
        if self.state.fail_with:
            self._answer(self.state.fail_with.pop(0), [], b"a bad day\n")
        elif self.state.auth and not self._authorized():
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"who are you?\n")
        elif self.state.redirect_to:
            rest = self.path.partition(".git")[2]
            self._answer(302, [("Location", f"{self.state.redirect_to}{rest}")], b"")
        else:
            self._answer(*_backend(self.state.root, self, body))

    do_POST = do_GET

    def handle(self) -> None:
        try:
            super().handle()
        except (ssl.SSLError, ConnectionError):
            self.close_connection = True

    def _authorized(self) -> bool:
        expected = base64.b64encode(f"{self.state.username}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {expected}"

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = self._chunks()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        zipped = self.headers.get("Content-Encoding") == "gzip"
        return gzip.decompress(data) if zipped else data

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


def _backend(
    root: Path, request: BaseHTTPRequestHandler, body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    path, _, query = request.path.partition("?")
    environment = {
        **_environment(root),
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_USER": USERNAME,
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    argv = [_real_git(), "http-backend"]
    done = subprocess.run(argv, input=body, env=environment, capture_output=True, check=False)
    head, _, data = done.stdout.partition(b"\r\n\r\n")
    pairs = [line.partition(": ")[::2] for line in head.decode().split("\r\n") if line]
    status = next((int(v.split()[0]) for k, v in pairs if k.lower() == "status"), 200)
    return status, [(k, v) for k, v in pairs if k.lower() not in ("status", "content-length")], data


def _environment(root: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


def _real_git() -> str:
    """Return git itself, past any spy that a test put on its PATH."""
    return next(p for p in ("/usr/local/bin/git", "/usr/bin/git") if Path(p).exists())
