"""A flood of events on one connection that waits for no answer: a process of its own.

`python -m tests.courier.flooder SOCKET BYTES SECONDS` sends the same event, prepared once, as
fast as the socket takes it, and prints how many bytes went out and how many were answered. The
answers are read beside, so that the courier never waits for its own.
"""

import json
import socket
import sys
import threading
import time

BATCH_BYTES = 1 << 20


def event_request(size: int) -> bytes:
    """Return one request whose body has so many bytes."""
    event = {"step": 1, "type": "decision", "message": ""}
    event["message"] = "x" * (size - len(json.dumps(event)))
    body = json.dumps(event).encode()
    head = f"POST /events HTTP/1.1\r\nHost: door\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def flood(path: str, request: bytes, seconds: float) -> dict[str, int]:
    """Return bytes sent and how many requests were answered with 202."""
    batch = request * max(1, BATCH_BYTES // len(request))
    answers: list[int] = []
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        reader = threading.Thread(target=_count, args=(peer, answers))
        reader.start()
        sent, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            peer.sendall(batch)
            sent += len(batch)
        peer.shutdown(socket.SHUT_WR)
        reader.join()
    return {"sent": sent, "answered": sum(answers)}


def _count(peer: socket.socket, answers: list[int]) -> None:
    """Count until the end; a status line that two reads share is found in both together."""
    word, rest = b"HTTP/1.1 202", b""
    while piece := peer.recv(1 << 16):
        answers.append((rest + piece).count(word))
        rest = (rest + piece)[1 - len(word) :]


if __name__ == "__main__":
    socket_, size, seconds = sys.argv[1:]
    sys.stdout.write(json.dumps(flood(socket_, event_request(int(size)), float(seconds))) + "\n")
