"""Requests to one API server: who we are, which headers, what a failure means.

The official client reads the configuration (service account, KUBECONFIG, certificates). Its
requests cost more processor time than all that the API server's answers are good for, so they
are sent by aiohttp itself.
"""

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from agenttask_operator.errors import Unauthorized, Unavailable
from agenttask_operator.kinds import Object
from agenttask_operator.replies import read_error

JSON = "application/json"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
"""Of patches; JSON is YAML as well."""
LONGEST_LINE = 2**21
"""Buffer for reading, in bytes: an object in a watch is one line."""


@dataclass(frozen=True)
class Request:
    """What is asked of the API server."""

    method: str
    path: str
    limits: aiohttp.ClientTimeout
    query: dict[str, str] = field(default_factory=dict)
    """Empty values are left out."""
    body: Object | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Beside those of every request, or in their place."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def target(self) -> str:
        """Path and query."""
        query = urlencode({k: v for k, v in self.query.items() if v})
        return f"{self.path}?{query}" if query else self.path

    @property
    def content_type(self) -> str:
        """What the body is."""
        if self.method != "PATCH":
            return JSON
        return APPLY if "fieldManager" in self.query else MERGE


class Connection:
    """Sends requests as one user; nothing is retried but a request with an old token."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.host = client.configuration.host.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._own = {"Accept": JSON, "User-Agent": f"agenttask-operator/{own_version()}"}
        self._options = _options(client.configuration, self.host)
        self._reload: Callable[[], Awaitable[None]] | None = None
        self.on_reply: Callable[[str, int, float], None] = lambda *_: None
        """Told of every request: method, code (0 = no answer), seconds until the answer."""

    @classmethod
    async def open(cls, connections: int) -> "Connection":
        """Return a connection, made from the pod's service account or from KUBECONFIG.

        Nothing is sent yet. The service-account token is read again every minute.
        """
        configuration = Configuration()
        configuration.connection_pool_maxsize = connections

        async def load() -> None:
            if "KUBECONFIG" in os.environ:
                await load_kube_config(client_configuration=configuration)
            else:
                await _load_default(configuration)

        await load()
        connection = cls(ApiClient(configuration))
        connection._reload = load
        return connection

    async def close(self) -> None:
        """Close all connections."""
        await self.client.close()
        if self._session:
            await self._session.close()

    async def send(self, request: Request) -> aiohttp.ClientResponse:
        """Send a request; one that is not known any more (401) reads its credentials again.

        Raises the error that a status of 400 or more means, Unavailable without an answer.
        """
        try:
            return await self._send(request)
        except Unauthorized:
            if not self._reload:
                raise
        await self._reload()
        return await self._send(request)

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        begun, code = time.monotonic(), 0
        data = None if request.body is None else orjson.dumps(request.body)
        headers = await self._headers(request)
        try:
            response = await self._opened().request(
                request.method,
                f"{self.host}{request.target}",
                data=data,
                headers=headers,
                timeout=request.limits,
                **self._options,
            )
            code = response.status
            if code >= 400:
                raise read_error(response, str(request), await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{request}: {error!r}") from error
        finally:
            self.on_reply(request.method, code, time.monotonic() - begun)
        return response

    async def _headers(self, request: Request) -> dict[str, str]:
        headers = {**self._own, "Content-Type": request.content_type}
        await self.client.update_params_for_auth(
            headers, [], ["BearerToken"], "", request.method, None
        )
        return headers | request.headers

    def _opened(self) -> aiohttp.ClientSession:
        if not self._session:
            rest = self.client.rest_client
            connector = aiohttp.TCPConnector(limit=rest.maxsize, ssl=rest.ssl_context)
            # With `trust_env` each request would look for a .netrc, in a thread.
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=LONGEST_LINE)
        return self._session


def _options(configuration: Configuration, host: str) -> dict[str, Any]:
    """Return what every request is sent with: proxy, and the name that the certificate has."""
    proxy = configuration.proxy or _proxy_of_environment(host)
    found = {
        "proxy": proxy,
        "proxy_headers": configuration.proxy_headers,
        "server_hostname": configuration.tls_server_name,
    }
    return {k: v for k, v in found.items() if v}


def _proxy_of_environment(host: str) -> str | None:
    """Return what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say of the API server."""
    url = urlsplit(host)
    return None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)


async def _load_default(configuration: Configuration) -> None:
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException:
        await load_kube_config(client_configuration=configuration)


def own_version() -> str:
    """Return the version of this distribution."""
    try:
        return version("agenttask")
    except PackageNotFoundError:
        return "0"
