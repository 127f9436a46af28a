"""The agent's side of the door: one HTTP client on one unix socket.

The lifeline is opened first and held to the end: when it breaks, the courier knows
that the agent is gone. What the courier needs is put as whole bodies; events are
told as they happen and lost without harm.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from pydantic import ValidationError

from agenttask_api.door import LOG, MAX_EVENT_BYTES, DoorEvent, Receipt
from agenttask_api.result import AgentReport

ORDINARY_SECONDS = 30.0
UPLOAD_SECONDS = 120.0
EVENT_SECONDS = 2.0
FLUSH_SECONDS = 2.0
MAX_WAITING_EVENTS = 1000
MAX_WAITING_BEFORE_LOGS = 100
"""With more events waiting than that no log lines are added: progress goes before them."""


class DoorClosed(Exception):
    """The door is not there, or does not take what it must take."""


def wait_for_door(
    socket: Path,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return once the socket is there; raises DoorClosed after `seconds`."""
    deadline = clock() + seconds
    while not socket.is_socket():
        if clock() >= deadline:
            raise DoorClosed(f"{socket} did not appear within {seconds:g} seconds")
        sleep(0.05)


@contextlib.contextmanager
def open_client(socket: Path) -> Iterator[httpx.Client]:
    """Open the one client; `trust_env` off, so no proxy setting can redirect it."""
    transport = httpx.HTTPTransport(uds=str(socket), verify=False)
    with httpx.Client(
        transport=transport, base_url="http://door", trust_env=False, timeout=ORDINARY_SECONDS
    ) as client:
        yield client


class Door:
    """What the agent says to the courier.

    Events go out one after the other in a thread of their own, so that the work never
    waits for them; those that are waiting go before the result.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.lost_events = 0
        self.lost_logs = 0
        self._events: queue.Queue[bytes] = queue.Queue(MAX_WAITING_EVENTS)
        self._sender: threading.Thread | None = None

    @contextlib.contextmanager
    def lifeline(self) -> Iterator[None]:
        """Hold the lifeline open; the run's clock starts with it."""
        timeout = httpx.Timeout(ORDINARY_SECONDS)
        try:
            with self.client.stream("GET", "/lifeline", timeout=timeout) as response:
                if response.status_code != httpx.codes.OK:
                    raise DoorClosed(f"the lifeline was refused: {response.status_code}")
                yield
        except httpx.TransportError as error:
            raise DoorClosed(f"no lifeline: {error}") from error

    def tell(self, event: DoorEvent) -> None:
        """Send one event soon; what cannot be sent is counted and forgotten."""
        if event.type == LOG and self._events.qsize() > MAX_WAITING_BEFORE_LOGS:
            self.lost_logs += 1
            return
        body = event.model_dump_json(by_alias=True).encode(errors="replace")
        if self._sender is None:
            self._sender = threading.Thread(target=self._send_events, name="events", daemon=True)
            self._sender.start()
        try:
            if len(body) <= MAX_EVENT_BYTES:
                self._events.put_nowait(body)
        except queue.Full:
            self.lost_events += 1

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Wait until the events told so far are sent, but no longer than this."""
        deadline = time.monotonic() + seconds
        with self._events.all_tasks_done:
            while self._events.unfinished_tasks and time.monotonic() < deadline:
                self._events.all_tasks_done.wait(max(0.0, deadline - time.monotonic()))

    def _send_events(self) -> None:
        while True:
            body = self._events.get()
            try:
                self._send("POST", "/events", body, EVENT_SECONDS, "application/json")
            except (DoorClosed, RuntimeError):  # RuntimeError: the client was closed.
                self.lost_events += 1
            finally:
                self._events.task_done()

    def put_artifact(self, name: str, content: bytes) -> None:
        """Hand over a file; raises DoorClosed when it is not taken."""
        self._send("PUT", f"/artifacts/{name}", content, UPLOAD_SECONDS)

    def put_bundle(self, content: bytes) -> None:
        """Hand over the commits; raises DoorClosed when they are not taken."""
        self._send("PUT", "/bundle", content, UPLOAD_SECONDS)

    def put_result(self, report: AgentReport) -> None:
        """Hand over the report, which closes the gate. A second one is no error."""
        self.flush()
        body = report.model_dump_json(by_alias=True).encode(errors="replace")
        self._send("PUT", "/result", body, UPLOAD_SECONDS, "application/json", fine=(409,))

    def receipt(self, seconds: float | None) -> Receipt:
        """Wait until the outcome is settled; raises DoorClosed when it cannot be had."""
        timeout = httpx.Timeout(ORDINARY_SECONDS, read=seconds)
        try:
            response = self.client.get("/receipt", timeout=timeout)
            response.raise_for_status()
            return Receipt.model_validate_json(response.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise DoorClosed(f"no receipt: {error}") from error

    def _send(
        self,
        method: str,
        path: str,
        body: bytes,
        seconds: float,
        kind: str = "application/octet-stream",
        fine: tuple[int, ...] = (),
    ) -> None:
        try:
            response = self.client.request(
                method, path, content=body, timeout=seconds, headers={"content-type": kind}
            )
        except httpx.TransportError as error:
            raise DoorClosed(f"{method} {path}: {error}") from error
        if not response.is_success and response.status_code not in fine:
            raise DoorClosed(f"{method} {path}: {response.status_code} {response.text[:300]}")
