"""Sends one request and reads one bounded answer.

Each hop of a redirect is a request of its own, with every check of the first; only
GET and HEAD follow one, and what the caller put into headers does not cross origins.
Of an answer no more is read, held or unpacked than its limit.
"""

import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from urllib.parse import urljoin

import httpcore

from agenttask_agent.tools import validators
from agenttask_agent.tools.http_exchange import HttpLimits, Received, Sent
from agenttask_agent.tools.http_network import Deadline, PinnedBackend
from agenttask_agent.tools.http_policy import HostPolicy
from agenttask_agent.tools.http_secrets import SecretScan
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.validators import Target

MAX_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
CHUNK = 65536
UNPACKERS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class HttpClient:
    """Requests within one run's policy. Nothing is kept from one call to the next."""

    def __init__(
        self,
        policy: HostPolicy,
        scan: SecretScan | None = None,
        limits: HttpLimits | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._scan = scan or SecretScan()
        self.limits = limits or HttpLimits()
        self._ssl = ssl_context or ssl.create_default_context()

    def send(self, sent: Sent, seconds: float) -> Received:
        """Send a request, follow what may be followed; raises ToolError or Denied."""
        deadline = Deadline(time.monotonic() + min(seconds, self.limits.seconds))
        for redirects in range(MAX_REDIRECTS + 1):
            target = self._checked(sent)
            received = self._exchange(sent, target, deadline, redirects)
            following = _redirected(sent, target, received)
            if following is None:
                return received
            sent = following
        raise ToolError(f"more than {MAX_REDIRECTS} redirects")

    def _checked(self, sent: Sent) -> Target:
        body = (sent.body or b"").decode("utf-8", "replace")
        headers = [text for pair in sent.headers.items() for text in pair]
        if len(sent.body or b"") > self.limits.request_bytes:
            raise Denied(f"the body is larger than {self.limits.request_bytes} bytes")
        if self._scan.finds(sent.url, body, *headers):
            raise Denied("the request holds a secret value of this environment")
        return validators.url(sent.url)

    def _exchange(self, sent: Sent, target: Target, deadline: Deadline, hop: int) -> Received:
        backend = PinnedBackend(self._policy.addresses(target), deadline)
        url = f"{target.scheme}://{target.authority}{target.path}"
        try:
            with (
                httpcore.ConnectionPool(self._ssl, network_backend=backend) as pool,
                pool.stream(
                    sent.method, url, headers=_headers(sent, target), content=sent.body
                ) as response,
            ):
                return self._read(response, url, hop)
        except httpcore.TimeoutException:
            raise ToolError(f"{target.authority} did not answer in time") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            reason = str(error)[:200] or type(error).__name__
            raise ToolError(f"{target.authority}: {reason}") from None

    def _read(self, response: httpcore.Response, url: str, hop: int) -> Received:
        headers = tuple((k.decode("latin-1").lower(), v.decode("latin-1"))
                        for k, v in response.headers)  # fmt: skip
        encoding = next((v for k, v in headers if k == "content-encoding"), "").lower().strip()
        body = bytearray()
        limit = self.limits.response_bytes
        for piece in _unpacked(response.iter_stream(), encoding, limit):
            body += piece[: limit + 1 - len(body)]
            if len(body) > limit:
                break
        cut = len(body) > limit
        return Received(response.status, url, headers, bytes(body[:limit]), cut, hop)


def _headers(sent: Sent, target: Target) -> list[tuple[bytes, bytes]]:
    fixed = {"Host": target.authority, "User-Agent": "agenttask", "Accept-Encoding": "identity",
             "Connection": "close"}  # fmt: skip
    length = {"Content-Length": str(len(sent.body))} if sent.body is not None else {}
    own = {k: v for k, v in sent.headers.items()}
    named = {name.lower() for name in own}
    rest = {k: v for k, v in fixed.items() if k.lower() not in named}
    return [(k.encode("ascii"), v.encode("utf-8")) for k, v in (rest | own | length).items()]


def _redirected(sent: Sent, target: Target, received: Received) -> Sent | None:
    """Return the next request, or None when this answer is the last one."""
    location = received.header("location")
    if sent.method not in ("GET", "HEAD") or received.status not in REDIRECTS or not location:
        return None
    url = urljoin(received.url, location).partition("#")[0]
    following = validators.url(url)
    if target.scheme == "https" and following.scheme != "https":
        raise Denied("a redirect leads from https to http")
    headers = sent.headers if following.origin == target.origin else {}
    return Sent(sent.method, url, headers)


def _unpacked(chunks: Iterable[bytes], encoding: str, limit: int) -> Iterator[bytes]:
    """Yield the content, unpacked no further than one byte past the limit at a time."""
    if encoding in ("", "identity"):
        yield from chunks
        return
    if encoding not in UNPACKERS:
        raise ToolError("the answer is packed in a way that is not understood")
    unpacker = zlib.decompressobj(UNPACKERS[encoding])
    try:
        for chunk in chunks:
            yield unpacker.decompress(chunk, limit + 1)
    except zlib.error:
        raise ToolError("the answer is packed in a broken way") from None
