"""What an http operation asks for, what comes back, and who carries it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class HttpLimits:
    """Bytes and seconds of one call, redirects included."""

    request_bytes: int = 1024 * 1024
    response_bytes: int = 1024 * 1024
    seconds: float = 30.0


@dataclass(frozen=True)
class Sent:
    """One request as the operation wants it."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Received:
    """What the last server of a chain of redirects answered."""

    status: int
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool = False
    redirects: int = 0

    def header(self, name: str) -> str:
        """Return a header's first value, empty when there is none."""
        return next((value for key, value in self.headers if key == name), "")


class Http(Protocol):
    """Sends requests within one run's policy."""

    limits: HttpLimits

    def send(self, sent: Sent, seconds: float) -> Received:
        """Return the answer to a request; raises ToolError or Denied."""
        ...
