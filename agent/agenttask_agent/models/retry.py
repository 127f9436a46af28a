"""Tries again where trying again can help: bounded, with growing random pauses."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

RETRYABLE = frozenset({408, 409, 425, 429})
UNREACHABLE = frozenset({502, 503})
"""What the door answers when it cannot reach the model, and vLLM while it is full."""


@dataclass(frozen=True)
class Attempt:
    """One failed try. `unreachable`: no model has seen the request."""

    message: str
    unreachable: bool


@dataclass(frozen=True)
class Retry:
    """How often and how patiently; pauses double from `base` up to `ceiling` seconds."""

    tries: int = 6
    base: float = 1.0
    ceiling: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random

    def pause(self, tried: int, asked: float = 0.0) -> None:
        """Wait after the given number of tries; `asked` is the server's Retry-After."""
        longest = min(self.ceiling, self.base * 2 ** (tried - 1))
        self.sleep(max(longest * self.random(), min(asked, self.ceiling)))


def is_retryable(status: int) -> bool:
    """Say whether the same request may succeed later. 4xx of our own making may not."""
    return status in RETRYABLE or status >= 500


def describe(error: httpx.TransportError) -> Attempt:
    """Return a transport error as a failed try."""
    unreachable = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return Attempt(f"{type(error).__name__}: {error}".rstrip(": "), unreachable)


def retry_after(response: httpx.Response) -> float:
    """Return the seconds that the server asks to wait; 0 when it does not say."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else 0.0
