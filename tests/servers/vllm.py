"""A small HTTP peer that answers like vLLM, for tests of the model gate.

Keeps what it was asked. `faults` makes the next answers go wrong: a status with a
body, or `DROP` to break the connection off without an answer.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "Qwen/Qwen3-0.6B"
DROP = (0, b"")


@dataclass
class Call:
    """One request as it arrived."""

    path: str
    body: dict[str, object]
    authorization: str
    raw: bytes
    """The body before it was parsed."""
    traceparent: str = ""


@dataclass
class VLLM:
    """A running peer."""

    url: str = ""
    prompt_tokens: int = 10
    completion_tokens: int = 5
    calls: list[Call] = field(default_factory=list)
    faults: list[tuple[int, bytes]] = field(default_factory=list)
    redirect_to: str = ""
    """Where everybody is sent instead; empty = nowhere."""
    hold: threading.Event | None = None
    """When set to an event, answers wait for it."""


@contextmanager
def vllm_server() -> Iterator[VLLM]:
    """Serve on 127.0.0.1 on a free port until the block ends."""
    state = VLLM()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, state))
    httpd.daemon_threads = True
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        if state.hold:
            state.hold.set()
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def __init__(self, state: VLLM, *args: Any) -> None:
        self.state = state
        super().__init__(*args)

    def do_GET(self) -> None:
        models = [{"id": name, "object": "model", "max_model_len": 4096} for name in (MODEL, "x")]
        self._answer(200, json.dumps({"object": "list", "data": models}).encode())

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        key, under = (self.headers.get(name, "") for name in ("Authorization", "traceparent"))
        self.state.calls.append(Call(self.path, json.loads(raw), key, raw, under))
        if self.state.hold:
            self.state.hold.wait(10)
        fault = self.state.faults.pop(0) if self.state.faults else None
        if fault == DROP:
            self.close_connection = True
            return
        self._answer(*(fault or (200, json.dumps(_reply(self.state, self.path)).encode())))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(307 if self.state.redirect_to else status)
        if self.state.redirect_to:
            self.send_header("Location", f"{self.state.redirect_to}{self.path}")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""


def _reply(state: VLLM, path: str) -> dict[str, object]:
    if path == "/tokenize":
        return {"count": 3, "max_model_len": 4096, "tokens": [1, 2, 3]}
    message = {"role": "assistant", "content": "done"}
    usage = {
        "prompt_tokens": state.prompt_tokens,
        "completion_tokens": state.completion_tokens,
        "total_tokens": state.prompt_tokens + state.completion_tokens,
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c1", "object": "chat.completion", "choices": [choice], "usage": usage}
