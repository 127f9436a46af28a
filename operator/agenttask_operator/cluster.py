"""The API server: the only module that knows the Kubernetes client.

Objects are plain dictionaries, since typed models cost an order of magnitude more
time than the JSON itself. Every request has a deadline, every failure becomes one
of `errors`, and nothing is retried here: whoever asked knows whether to ask again.
"""

import copy
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from agenttask_api.names import MANAGED_BY, MANAGED_BY_LABEL
from agenttask_operator.errors import Conflict, NotFound, Unauthorized, Unavailable
from agenttask_operator.replies import read_change, read_error, read_lines
from agenttask_operator.throttle import Throttle

Object = dict[str, Any]

REQUEST_SECONDS = 15.0
WATCH_SECONDS = 300
"""The server ends a watch after this long: regular reconnects keep that path honest."""
SILENCE_SECONDS = 75.0
"""A watch without even a bookmark (one a minute) for this long is dead."""
PAGE_SIZE = 500
MAX_CONNECTIONS = 64

MANAGER = "agenttask-operator"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
"""Of patches; JSON is YAML as well."""
OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"


@dataclass(frozen=True)
class Kind:
    """Where a kind lives in the API."""

    prefix: str
    plural: str
    selector: str = ""
    """Label selector of every list and watch of this kind."""

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection or of one object."""
        parts = [self.prefix]
        parts += ["namespaces", quote(namespace, safe="")] if namespace else []
        parts += [self.plural]
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/" + "/".join(parts)


TASKS = Kind("apis/agenttask.dev/v1alpha1", "agenttasks")
CLASSES = Kind("apis/agenttask.dev/v1alpha1", "agentclasses")
JOBS = Kind("apis/batch/v1", "jobs", OURS)
PODS = Kind("api/v1", "pods", OURS)
EVENTS = Kind("api/v1", "events")
NAMESPACES = Kind("api/v1", "namespaces")
CONFIG_MAPS = Kind("api/v1", "configmaps")
POLICIES = Kind("apis/networking.k8s.io/v1", "networkpolicies")
LEASES = Kind("apis/coordination.k8s.io/v1", "leases")


@dataclass(frozen=True)
class Page:
    """A part of a list, all of it as of one resourceVersion."""

    items: list[Object]
    resource_version: str


class Cluster:
    """A connection to one API server."""

    def __init__(self, client: ApiClient) -> None:
        client.user_agent = f"agenttask-operator/{own_version()}"
        self._client = client
        self._host = client.configuration.host.rstrip("/")
        self._throttle = Throttle()
        self._reload: Callable[[], Awaitable[None]] | None = None
        self._impersonated: dict[str, str] = {}
        self.on_reply: Callable[[str, int, float], None] = lambda *_: None
        """Told of every request: method, code (0 = no answer), seconds until the answer."""

    @classmethod
    async def connect(cls) -> "Cluster":
        """Return a connection, made from the pod's service account or from KUBECONFIG.

        Nothing is sent yet. The service-account token is read again every minute.
        """
        configuration = Configuration()
        configuration.connection_pool_maxsize = MAX_CONNECTIONS

        async def load() -> None:
            if "KUBECONFIG" in os.environ:
                await load_kube_config(client_configuration=configuration)
            else:
                await _load_default(configuration)

        await load()
        cluster = cls(ApiClient(configuration))
        cluster._reload = load
        return cluster

    def acting_as(self, user: str) -> "Cluster":
        """Return the same connection, each request made as that user: RBAC and policy judge him.

        Of a service account the API server adds the groups itself.
        """
        other = copy.copy(self)
        other._impersonated = {"Impersonate-User": user}
        return other

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """Return one object; raises NotFound."""
        return await self._send("GET", kind.path(namespace, name))

    async def pages(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> AsyncIterator[Page]:
        """Yield all objects of a kind in pages; raises Gone when reading them took too long."""
        token = ""
        while True:
            query = {"limit": str(PAGE_SIZE), "labelSelector": selector or kind.selector}
            query |= {"continue": token} if token else {}
            reply = await self._send("GET", kind.path(namespace), query)
            metadata = reply.get("metadata") or {}
            items = reply.get("items") or []
            for item in items:
                item.get("metadata", {}).pop("managedFields", None)
            yield Page(items, metadata.get("resourceVersion", ""))
            token = metadata.get("continue") or ""
            if not token:
                return

    async def watch(
        self, kind: Kind, resource_version: str, namespace: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        """Yield changes as (type, object), bookmarks included, until the server ends the watch."""
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
            "labelSelector": kind.selector,
        }
        limits = aiohttp.ClientTimeout(
            total=WATCH_SECONDS + 30, sock_read=SILENCE_SECONDS, sock_connect=REQUEST_SECONDS
        )
        response = await self._request("GET", kind.path(namespace), query, None, limits)
        try:
            async for line in read_lines(response):
                yield read_change(line)
        finally:
            response.close()

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Create an object and return it as stored; raises Conflict when the name is taken."""
        namespace = manifest["metadata"]["namespace"]
        return await self._send("POST", kind.path(namespace), body=manifest)

    async def create_job(self, manifest: Object) -> Object:
        """Create a Job and return it as stored; raises Conflict when the name is taken."""
        return await self.create(JOBS, manifest)

    async def apply(self, kind: Kind, manifest: Object) -> Object:
        """Have an object be as the manifest says, whether it exists or not."""
        metadata = manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        return await self._send("PATCH", path, {"fieldManager": MANAGER, "force": "true"}, manifest)

    async def replace(self, kind: Kind, obj: Object) -> Object:
        """Put an object in the place of the version it names; raises Conflict when it is older."""
        metadata = obj["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        return await self._send("PUT", path, body=obj)

    async def patch(self, kind: Kind, namespace: str, name: str, body: Object) -> Object:
        """Merge into an object, whatever its version; raises NotFound."""
        return await self._send("PATCH", kind.path(namespace, name), body=body)

    async def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """Delete exactly that Job and, in the background, its pods; gone already is fine."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        await self._delete(JOBS.path(namespace, name), options)

    async def delete_pod(self, namespace: str, name: str, uid: str) -> None:
        """Delete exactly that pod, with the grace period it has; gone already is fine."""
        await self._delete(PODS.path(namespace, name), {"preconditions": {"uid": uid}})

    async def patch_status(
        self, kind: Kind, namespace: str, name: str, resource_version: str, status: Object
    ) -> Object:
        """Merge into the status of exactly that version; raises Conflict when it is older."""
        body = {"metadata": {"resourceVersion": resource_version}, "status": status}
        return await self._send("PATCH", kind.path(namespace, name, "status"), body=body)

    async def list_events_for(self, namespace: str, uid: str) -> list[Object]:
        """Return the core/v1 Events about one object."""
        query = {"fieldSelector": f"involvedObject.uid={uid}", "limit": "50"}
        reply = await self._send("GET", EVENTS.path(namespace), query)
        return list(reply.get("items") or [])

    async def create_event(self, event: Object) -> None:
        """Create an Event; one of that name existing already is success."""
        try:
            await self.create(EVENTS, event)
        except Conflict:
            return

    async def _delete(self, path: str, options: Object) -> None:
        try:
            await self._send("DELETE", path, body=options)
        except (NotFound, Conflict):
            return

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Object | None = None,
    ) -> Object:
        limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        if not path.startswith(f"/{LEASES.prefix}/"):
            # Whoever must wait its turn to renew the Lease loses it.
            await self._throttle.take()
        try:
            response = await self._request(method, path, query, body, limits)
            reply = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._throttle.complained()
            raise Unavailable(f"{method} {path}: {error!r}") from error
        except Unavailable:
            self._throttle.complained()
            raise
        self._throttle.answered()
        return reply if isinstance(reply, dict) else {}

    async def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: Object | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Send a request; one that is not known any more (401) reads its credentials again."""
        try:
            return await self._send_once(method, path, query, body, limits)
        except Unauthorized:
            if not self._reload:
                raise
        await self._reload()
        return await self._send_once(method, path, query, body, limits)

    async def _send_once(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        body: Object | None,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        kind_of_patch = APPLY if "fieldManager" in (query or {}) else MERGE
        headers = await self._headers(method, kind_of_patch)
        begun, code = time.monotonic(), 0
        url = f"{self._host}{path}?{urlencode({k: v for k, v in (query or {}).items() if v})}"
        try:
            reply = await self._client.call_api(
                method, url.rstrip("?"), headers, body, _request_timeout=limits
            )
            response: aiohttp.ClientResponse = reply.response
            code = response.status
            if code >= 400:
                raise read_error(response, f"{method} {path}", await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {error!r}") from error
        finally:
            self.on_reply(method, code, time.monotonic() - begun)
        return response

    async def _headers(self, method: str, kind_of_patch: str) -> dict[str, str]:
        headers: dict[str, str] = {"Accept": "application/json", **self._client.default_headers}
        headers |= self._impersonated
        if method == "PATCH":
            headers["Content-Type"] = kind_of_patch
        await self._client.update_params_for_auth(headers, [], ["BearerToken"], "", method, None)
        return headers


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
