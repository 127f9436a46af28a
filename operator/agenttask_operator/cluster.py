"""The API server: what is asked of it, and how.

Objects are plain dictionaries, since typed models cost an order of magnitude more
time than the JSON itself. Every request has a deadline, every failure becomes one
of `errors`, and nothing is retried here: whoever asked knows whether to ask again.
"""

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import orjson

from agenttask_operator.connection import Connection, Request
from agenttask_operator.errors import Conflict, NotFound, Unavailable
from agenttask_operator.kinds import EVENTS, JOBS, LEASES, PODS, Kind, Object
from agenttask_operator.replies import read_change, read_lines
from agenttask_operator.tables import TABLE, column_names, read_bookmark, read_rows
from agenttask_operator.throttle import Throttle

REQUEST_SECONDS = 15.0
WATCH_SECONDS = 300
"""The server ends a watch after this long: regular reconnects keep that path honest."""
SILENCE_SECONDS = 75.0
"""A watch without even a bookmark (one a minute) for this long is dead."""
PAGE_SIZE = 200
"""Of a list, half of client-go's: what a page weighs while it is read stays with the process."""
CONNECTIONS = 64
WATCHES = 4
"""Of each namespace: two of tasks, Jobs, pods. Each keeps a connection for itself."""

MANAGER = "agenttask-operator"


@dataclass(frozen=True)
class Page:
    """A part of a list, all of it as of one resourceVersion."""

    items: list[Object]
    resource_version: str


class Cluster:
    """A connection to one API server."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        """What carries the requests."""
        self._throttle = Throttle()
        self._headers: dict[str, str] = {}

    @classmethod
    async def connect(cls, namespaces: int = 1) -> "Cluster":
        """Return a connection, made from the pod's service account or from KUBECONFIG.

        `namespaces` = how many are watched, each by itself. Nothing is sent yet.
        """
        return cls(await Connection.open(max_connections(namespaces)))

    def acting_as(self, user: str) -> "Cluster":
        """Return the same connection, each request made as that user: RBAC and policy judge him.

        Of a service account the API server adds the groups itself.
        """
        other = copy.copy(self)
        other._headers = {"Impersonate-User": user}
        return other

    async def close(self) -> None:
        """Close all connections."""
        await self.connection.close()

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """Return one object; raises NotFound."""
        return await self._send("GET", kind.path(namespace, name))

    async def pages(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> AsyncIterator[Page]:
        """Yield all objects of a kind in pages; raises Gone when reading them took too long."""
        token = ""
        while True:
            query = {
                "limit": str(PAGE_SIZE),
                "labelSelector": selector or kind.selector,
                "fieldSelector": kind.fields,
                "continue": token,
            }
            reply = await self._send("GET", kind.path(namespace), query, table=bool(kind.columns))
            metadata = reply.get("metadata") or {}
            items = _items(kind, reply)
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
            "fieldSelector": kind.fields,
        }
        limits = aiohttp.ClientTimeout(
            total=WATCH_SECONDS + 30, sock_read=SILENCE_SECONDS, sock_connect=REQUEST_SECONDS
        )
        table = bool(kind.columns)
        names: tuple[str, ...] = ()
        headers = self._accepting(table)
        request = Request("GET", kind.path(namespace), limits, query, headers=headers)
        response = await self.connection.send(request)
        try:
            async for line in read_lines(response):
                type_, obj = read_change(line)
                if table:
                    # Only the first event says what the columns are.
                    names = column_names(obj) or names
                    rows = read_rows(obj, names, kind.columns)
                    obj = rows[0] if rows else read_bookmark(obj)
                yield type_, obj
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
        table: bool = False,
    ) -> Object:
        limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        request = Request(method, path, limits, query or {}, body, self._accepting(table))
        if not path.startswith(f"/{LEASES.prefix}/"):
            # Whoever must wait its turn to renew the Lease loses it.
            await self._throttle.take()
        try:
            response = await self.connection.send(request)
            reply = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._throttle.complained()
            raise Unavailable(f"{request}: {error!r}") from error
        except Unavailable:
            self._throttle.complained()
            raise
        self._throttle.answered()
        return reply if isinstance(reply, dict) else {}

    def _accepting(self, table: bool) -> dict[str, str]:
        return self._headers | {"Accept": TABLE} if table else self._headers


def _items(kind: Kind, reply: Object) -> list[Object]:
    """Return what a list holds, without the books that the API server keeps of its fields."""
    if kind.columns:
        return read_rows(reply, column_names(reply), kind.columns)
    items: list[Object] = reply.get("items") or []
    for item in items:
        item.get("metadata", {}).pop("managedFields", None)
    return items


def max_connections(namespaces: int) -> int:
    """Return how many connections to keep where so many namespaces are watched."""
    return CONNECTIONS + WATCHES * namespaces
