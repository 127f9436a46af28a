"""The adapter against a small HTTP server: paths, pages, watches, and every kind of no."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration
from tests.operator.apiserver import SmallApi
from tests.operator.builders import task_object
from tests.operator.taskwatches import line, table

from agenttask_operator.cluster import Cluster, Page, max_connections
from agenttask_operator.connection import Connection
from agenttask_operator.errors import (
    Conflict,
    Forbidden,
    Gone,
    NotFound,
    Refused,
    Unavailable,
)
from agenttask_operator.kinds import (
    CLASSES,
    JOBS,
    LEASES,
    PODS,
    POLICIES,
    ROSTER,
    TASKS,
    UNFINISHED,
)


class Server:
    """Answers with what it was told to, and remembers what it was asked."""

    def __init__(self):
        self.url = ""
        self.answers: list[Any] = []
        self.requests: list[Any] = []

    def will(self, body, status=200, headers=None):
        self.answers.append((body, status, headers or {}))

    async def handle(self, request):
        text = await request.text()
        self.requests.append((request.method, request.path, dict(request.query), text, request))
        body, status, headers = self.answers.pop(0)
        if callable(body):
            return await body(request)
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, headers=headers)


@pytest.fixture
async def server():
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = site.name
    yield server
    await runner.cleanup()


@pytest.fixture
async def cluster(server):
    configuration = Configuration(host=server.url)
    configuration.api_key["BearerToken"] = "bearer secret"
    cluster = Cluster(Connection(ApiClient(configuration)))
    yield cluster
    await cluster.close()


async def test_object_is_read_from_its_path_with_the_token(server, cluster):
    server.will({"metadata": {"name": "a"}})
    assert await cluster.get(JOBS, "a", "ns") == {"metadata": {"name": "a"}}
    method, path, _, _, request = server.requests[0]
    assert (method, path) == ("GET", "/apis/batch/v1/namespaces/ns/jobs/a")
    assert request.headers["Authorization"] == "bearer secret"


async def test_manifest_is_applied_on_the_server(server, cluster):
    server.will({"metadata": {"name": "a"}})
    await cluster.apply(POLICIES, {"metadata": {"name": "a", "namespace": "ns"}})
    method, path, query, _, request = server.requests[0]
    assert method == "PATCH"
    assert path == "/apis/networking.k8s.io/v1/namespaces/ns/networkpolicies/a"
    assert query == {"fieldManager": "agenttask-operator", "force": "true"}
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, Refused),
        (401, Unavailable),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_status_becomes_an_error_with_the_servers_words(server, cluster, status, error):
    server.will({"message": "because", "reason": "because"}, status)
    with pytest.raises(error, match="because"):
        await cluster.get(TASKS, "a", "ns")


async def test_retry_after_is_passed_on(server, cluster):
    server.will({"message": "busy"}, 429, {"Retry-After": "7"})
    with pytest.raises(Unavailable) as caught:
        await cluster.get(TASKS, "a", "ns")
    assert caught.value.retry_after == 7


async def test_no_server_is_unavailable(server, cluster):
    cluster.connection.host = "http://127.0.0.1:1"
    with pytest.raises(Unavailable):
        await cluster.get(TASKS, "a", "ns")


async def test_answer_that_is_no_json_is_unavailable(server, cluster):
    server.will("<html>")
    with pytest.raises(Unavailable):
        await cluster.get(TASKS, "a", "ns")


async def test_list_is_read_page_by_page_without_managed_fields(server, cluster):
    item = {"metadata": {"name": "a", "managedFields": [1]}}
    server.will({"metadata": {"continue": "more", "resourceVersion": "5"}, "items": [item]})
    server.will({"metadata": {"resourceVersion": "5"}, "items": []})
    pages = [page async for page in cluster.pages(PODS)]
    assert [len(p.items) for p in pages] == [1, 0]
    assert pages[0].items == [{"metadata": {"name": "a"}}]
    assert server.requests[1][2]["continue"] == "more"
    assert server.requests[0][2]["labelSelector"] == "app.kubernetes.io/managed-by=agenttask"


async def test_cluster_scoped_kind_has_no_namespace(server, cluster):
    server.will({"items": []})
    [page async for page in cluster.pages(CLASSES)]
    assert server.requests[0][1] == "/apis/agenttask.dev/v1alpha1/agentclasses"


def stream(*events):
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    return answer


async def test_watch_yields_changes_and_bookmarks(server, cluster):
    obj = {"metadata": {"resourceVersion": "6", "managedFields": []}}
    server.will(stream({"type": "ADDED", "object": obj}, {"type": "BOOKMARK", "object": obj}))
    seen = [event async for event in cluster.watch(JOBS, "5")]
    assert [type_ for type_, _ in seen] == ["ADDED", "BOOKMARK"]
    query = server.requests[0][2]
    assert (query["watch"], query["resourceVersion"]) == ("true", "5")


async def test_server_in_trouble_is_not_quoted_in_the_log(server, cluster):
    words = 'failed calling webhook: "the prompt"'
    server.will({"message": words, "reason": "InternalError"}, 500)
    with pytest.raises(Unavailable, match=r"500 InternalError$"):
        await cluster.get(JOBS, "a", "ns")


@pytest.mark.parametrize(("code", "error"), [(410, Gone), (500, Unavailable)])
async def test_error_in_a_watch_is_raised(server, cluster, code, error):
    server.will(stream({"type": "ERROR", "object": {"code": code, "message": "no"}}))
    with pytest.raises(error):
        [event async for event in cluster.watch(JOBS, "5")]


async def test_watch_that_is_cut_is_unavailable(server, cluster):
    async def cut(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "ADD')
        request.transport.abort()
        return response

    server.will(cut)
    with pytest.raises(Unavailable):
        [event async for event in cluster.watch(JOBS, "5")]
    await asyncio.sleep(0)


async def test_status_patch_names_the_version_it_changes(server, cluster):
    server.will({"metadata": {}})
    await cluster.patch_status(TASKS, "ns", "a", "7", {"phase": "Running"})
    method, path, _, body, request = server.requests[0]
    assert (method, path) == (
        "PATCH",
        "/apis/agenttask.dev/v1alpha1/namespaces/ns/agenttasks/a/status",
    )
    assert json.loads(body) == {
        "metadata": {"resourceVersion": "7"},
        "status": {"phase": "Running"},
    }
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["User-Agent"].startswith("agenttask-operator/")


async def test_job_is_deleted_in_the_background_and_only_that_one(server, cluster):
    server.will({})
    await cluster.delete_job("ns", "a", "uid-1")
    options = json.loads(server.requests[0][3])
    assert options == {"propagationPolicy": "Background", "preconditions": {"uid": "uid-1"}}


async def test_pod_is_deleted_with_its_own_grace_period_and_only_that_one(server, cluster):
    server.will({})
    await cluster.delete_pod("ns", "a", "uid-1")
    (request,) = server.requests
    assert json.loads(request[3]) == {"preconditions": {"uid": "uid-1"}}
    assert request[1] == "/api/v1/namespaces/ns/pods/a"


@pytest.mark.parametrize("status", [404, 409])
async def test_job_that_is_gone_or_another_is_as_good_as_deleted(server, cluster, status):
    server.will({}, status)
    await cluster.delete_job("ns", "a", "uid-1")
    assert len(server.requests) == 1


async def test_event_that_exists_is_as_good_as_created(server, cluster):
    server.will({"message": "exists"}, 409)
    await cluster.create_event({"metadata": {"namespace": "ns", "name": "e"}})
    assert len(server.requests) == 1


async def test_events_are_asked_for_by_object(server, cluster):
    server.will({"items": [{"reason": "FailedCreate"}]})
    assert await cluster.list_events_for("ns", "uid-1") == [{"reason": "FailedCreate"}]
    assert server.requests[0][2]["fieldSelector"] == "involvedObject.uid=uid-1"


async def test_credentials_that_are_not_known_are_read_again_once(server, cluster):
    async def reload():
        cluster.connection.client.configuration.api_key["BearerToken"] = "bearer new"

    cluster.connection._reload = reload
    server.will({"message": "who"}, 401)
    server.will({"metadata": {"name": "a"}})
    assert (await cluster.get(JOBS, "a", "ns"))["metadata"]["name"] == "a"
    shown = [request.headers["Authorization"] for *_, request in server.requests]
    assert shown == ["bearer secret", "bearer new"]


async def test_requests_are_told_with_their_codes(server, cluster):
    told = []
    cluster.connection.on_reply = lambda method, code, _seconds: told.append((method, code))
    server.will({}, 200)
    await cluster.get(JOBS, "a", "ns")
    server.will({"message": "busy"}, 429)
    with pytest.raises(Unavailable):
        await cluster.get(JOBS, "a", "ns")
    cluster.connection.host = "http://127.0.0.1:1"
    with pytest.raises(Unavailable):
        await cluster.get(JOBS, "a", "ns")
    assert told == [("GET", 200), ("GET", 429), ("GET", 0)]


async def test_complaints_slow_us_down_and_the_lease_waits_for_nothing(server, cluster):
    rate = cluster._throttle.rate
    server.will({"message": "busy"}, 503)
    with pytest.raises(Unavailable):
        await cluster.get(JOBS, "a", "ns")
    assert cluster._throttle.rate == rate / 2
    cluster._throttle._tokens = -1e9
    server.will({"metadata": {"name": "agenttask-operator"}})
    async with asyncio.timeout(5):
        await cluster.get(LEASES, "agenttask-operator", "system")


async def test_acting_as_another_user_names_him_and_leaves_the_others_alone(server, cluster):
    for _ in range(3):
        server.will({"metadata": {"name": "a"}})
    tenant = cluster.acting_as("system:serviceaccount:team:bridge")
    await tenant.create(TASKS, {"metadata": {"namespace": "team", "name": "a"}})
    await tenant.patch(TASKS, "team", "a", {"spec": {"cancel": True}})
    await cluster.get(TASKS, "a", "team")
    created, patched, got = server.requests
    assert created[4].headers["Impersonate-User"] == "system:serviceaccount:team:bridge"
    assert created[4].headers["Authorization"] == "bearer secret"
    assert patched[:2] == ("PATCH", "/apis/agenttask.dev/v1alpha1/namespaces/team/agenttasks/a")
    assert patched[4].headers["Impersonate-User"] == "system:serviceaccount:team:bridge"
    assert json.loads(patched[3]) == {"spec": {"cancel": True}}
    assert "Impersonate-User" not in got[4].headers


async def test_roster_is_asked_for_as_a_table(server, cluster):
    obj = task_object({"phase": "Failed"})
    server.will(table([obj], "7"))
    pages = [page async for page in cluster.pages(ROSTER, "team")]
    assert pages == [Page([line(obj)], "7")]
    assert "as=Table" in server.requests[0][4].headers["Accept"]


async def test_watch_of_the_roster_names_its_columns_once(server, cluster):
    obj = task_object({"phase": "Failed"})
    first, second = table([obj], ""), table([obj], "")
    second["columnDefinitions"] = []
    told = ["ADDED", "MODIFIED", "BOOKMARK"]
    events = zip(told, (first, second, table([], "9")), strict=True)
    server.will(stream(*({"type": t, "object": o} for t, o in events)))
    seen = [event async for event in cluster.watch(ROSTER, "5")]
    bookmark = {"metadata": {"resourceVersion": "9"}}
    assert seen == list(zip(told, (line(obj), line(obj), bookmark), strict=True))


async def test_unfinished_tasks_are_selected_by_the_server(server, cluster):
    server.will({"items": []})
    server.will(stream())
    assert [page.items async for page in cluster.pages(UNFINISHED)] == [[]]
    assert [event async for event in cluster.watch(UNFINISHED, "5")] == []
    wanted = "status.phase!=Cancelled,status.phase!=Failed,status.phase!=Succeeded"
    assert [r[2]["fieldSelector"] for r in server.requests] == [wanted, wanted]


async def test_watches_of_many_namespaces_leave_connections_for_the_rest():
    count, api = 30, SmallApi()
    await api.start()
    configuration = Configuration(host=api.url)
    configuration.connection_pool_maxsize = max_connections(count)
    cluster = Cluster(Connection(ApiClient(configuration)))

    async def watch(kind, namespace, heard):
        async for _ in cluster.watch(kind, "5", namespace):
            heard.set()

    kinds = (UNFINISHED, ROSTER, JOBS, PODS)
    places = [(kind, f"n-{n}", asyncio.Event()) for n in range(count) for kind in kinds]
    watches = [asyncio.create_task(watch(*place)) for place in places]
    async with asyncio.timeout(20):
        await asyncio.gather(*(heard.wait() for _, _, heard in places))
        assert [page.items async for page in cluster.pages(CLASSES)] == [[]]
    for task in watches:
        task.cancel()
    await asyncio.gather(*watches, return_exceptions=True)
    await cluster.close()
    await api.stop()
