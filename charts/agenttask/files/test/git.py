"""A git server with one repository, for `helm test`: `git http-backend` behind TLS."""

import os
import ssl
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path("/tmp/repos")
ENV = {**os.environ, "HOME": "/tmp", "GIT_PROJECT_ROOT": str(ROOT), "GIT_HTTP_EXPORT_ALL": "1"}
PERSON = ("-c", "user.name=helm test", "-c", "user.email=test@noreply.invalid")


def git(*args: str) -> None:
    """Run git where the repositories are."""
    subprocess.run(["git", *args], check=True, cwd=ROOT, env=ENV)


def make_repository() -> None:
    """Make trial.git with one commit on main, writable for whoever reaches this server."""
    ROOT.mkdir(exist_ok=True)
    git("init", "-q", "-b", "main", "seed")
    (ROOT / "seed" / "README.md").write_text("A repository for one test.\n", encoding="utf-8")
    git("-C", "seed", "add", "README.md")
    git("-C", "seed", *PERSON, "commit", "-q", "-m", "Begin")
    git("clone", "-q", "--bare", "seed", "trial.git")
    git("-C", "trial.git", "config", "http.receivepack", "true")


class Handler(BaseHTTPRequestHandler):
    """One request as a CGI call."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Hand the request to git."""
        path, _, query = self.path.partition("?")
        body = self.body()
        env = {
            **ENV,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE, check=False
        )
        self.answer(*done.stdout.partition(b"\r\n\r\n")[::2])

    do_POST = do_GET

    def body(self) -> bytes:
        """Return what the client sent, in one piece or in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, head: bytes, data: bytes) -> None:
        """Send what git answered."""
        pairs = [line.partition(": ")[::2] for line in head.decode().split("\r\n") if line]
        status = next((v for k, v in pairs if k == "Status"), "200")
        self.send_response(int(status.split()[0]))
        for key, value in pairs:
            if key not in ("Status", "Content-Length"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until the pod is deleted."""
    make_repository()
    server = ThreadingHTTPServer(("", 8443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()
