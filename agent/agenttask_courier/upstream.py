"""The HTTP client of the model gate: aiohttp's, at a quarter of httpx's processor time.

Kept alive, no proxy, nothing of the environment. What comes back is capped as it comes.
"""

from dataclasses import dataclass, field

import aiohttp

from agenttask_api.door import MAX_MODEL_RESPONSE_BYTES

CONNECT_SECONDS = 5.0
READ_SECONDS = 300.0


class Unreachable(Exception):
    """No answer came; the message is the kind of failure."""


class TooLarge(Exception):
    """More came than anybody wants."""


@dataclass(frozen=True)
class Relayed:
    """An upstream answer, to be passed on unchanged."""

    status: int
    content_type: str
    body: bytes


@dataclass
class Upstream:
    """One model endpoint, whose URL has no `/v1`."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every request."""
    _session: aiohttp.ClientSession | None = None

    async def ask(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> Relayed:
        """Return the answer; raises Unreachable and TooLarge."""
        try:
            async with self._opened().request(
                method,
                f"{self.url}{path}",
                data=content,
                headers={**self.headers, **headers},
                allow_redirects=False,  # The key is for this host and no other.
            ) as response:
                kind = response.headers.get("Content-Type", "application/json")
                return Relayed(response.status, kind, await _capped(response))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(type(error).__name__) from error

    async def aclose(self) -> None:
        """Close what is open."""
        if self._session:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """Open the session with the first request: it belongs to the running loop."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS
            )
            self._session = aiohttp.ClientSession(
                timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


async def _capped(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_MODEL_RESPONSE_BYTES:
            raise TooLarge
    return bytes(body)
