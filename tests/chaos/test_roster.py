"""The two watches of tasks on the real API server: what they tell, and what a restart reads."""

import asyncio
from collections.abc import Callable

import pytest
from tests.chaos.conftest import MakeOperator
from tests.chaos.harness import TASKS as GROUP
from tests.chaos.harness import Api, Object
from tests.chaos.proxy import Call, Fault, Proxy
from tests.e2e.tasks import eventually
from tests.operator.taskwatches import selected, shown, told

from agenttask_operator.cluster import Cluster
from agenttask_operator.errors import Gone
from agenttask_operator.kinds import ROSTER, TASKS, UNFINISHED, Kind

SECONDS = 30.0
NAMES = tuple(f"t-{n}" for n in range(6))
FINAL: Object = {
    "phase": "Failed",
    "observedGeneration": 1,
    "outbox": {"pending": [{"id": "", "key": "k", "phase": "Failed"}]},
    "conditions": [
        {
            "type": "EventsPublished",
            "status": "False",
            "reason": "EventsPublished",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
}
"""The end of a run of which nothing was told yet."""


async def listed(client: Cluster, kind: Kind, space: str) -> tuple[list[Object], str]:
    pages = [page async for page in client.pages(kind, space)]
    return [item for page in pages for item in page.items], pages[-1].resource_version


def life(api: Api, path: str) -> list[Callable[[], Object]]:
    """Return what happens to a task, each step with its answer."""

    def status(**fields: object) -> Callable[[], Object]:
        return lambda: api.request("PATCH", f"{path}/status", {"status": fields})

    return [
        status(phase="Running"),
        status(**FINAL),
        status(outbox=None),
        lambda: api.request("PATCH", path, {"spec": {"runID": "2"}}),
        status(phase="Pending", observedGeneration=2),
        status(phase="Succeeded", observedGeneration=2),
    ]


async def test_real_watches_tell_what_those_of_the_tests_tell(
    api: Api, client: Cluster, space: str
) -> None:
    _, begun = await listed(client, ROSTER, space)
    api.make_task(space, "one")
    api.make_task(space, "two")
    path = f"{GROUP}/namespaces/{space}/agenttasks/"
    changes: list[tuple[str, Object, Object | None]] = []
    for name in ("one", "two"):
        known = await client.get(TASKS, name, space)
        changes.append(("ADDED", known, None))
    for step in life(api, f"{path}one"):
        before = await client.get(TASKS, "one", space)
        changes.append(("MODIFIED", step(), before))
        for kind in (UNFINISHED, ROSTER):
            items, _ = await listed(client, kind, space)
            whole, _ = await listed(client, TASKS, space)
            assert items == [shown(kind, o) for o in whole if selected(kind, o)]
    before = await client.get(TASKS, "two", space)
    api.delete(f"{path}two")
    for kind in (UNFINISHED, ROSTER):
        expected = [e for e in (told(kind, *change) for change in changes) if e]
        heard = await hear_all(client, kind, begun, space, len(expected) + 1)
        for (type_, obj), event in zip(expected, heard, strict=False):
            assert event["type"] == type_
            assert bare(event["object"]) == bare(obj)
        assert heard[-1]["type"] == "DELETED"
        assert heard[-1]["object"]["metadata"]["uid"] == before["metadata"]["uid"]


def bare(obj: Object) -> Object:
    """Return the object without the API server's own books."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return obj | {"metadata": metadata}


async def hear_all(
    client: Cluster, kind: Kind, version: str, space: str, count: int
) -> list[Object]:
    """Return that many events of a watch from there."""
    heard: list[Object] = []
    async with asyncio.timeout(SECONDS):
        async for type_, obj in client.watch(kind, version, space):
            if type_ != "BOOKMARK":
                heard.append({"type": type_, "object": obj})
            if len(heard) == count:
                return heard
    raise AssertionError("the watch has ended")


@pytest.mark.parametrize("kind", [UNFINISHED, ROSTER], ids=lambda k: k.name)
async def test_version_that_is_too_old_is_told_as_such(
    client: Cluster, space: str, kind: Kind
) -> None:
    with pytest.raises(Gone):
        await hear_all(client, kind, "1", space, 10**6)


def whole(call: Call) -> bool:
    """Say whether the answer holds a task as a whole."""
    tasks = "/agenttasks" in call.path and call.method == "GET"
    return tasks and not call.table and not call.watch and "fieldSelector" not in call.query


def roster(call: Call) -> bool:
    return call.watch and call.table


def unfinished(call: Call) -> bool:
    return call.watch and "fieldSelector=status.phase" in call.query


def test_restart_reads_no_finished_task_and_hears_of_each_new_run(
    api: Api, space: str, proxy: Proxy, operator: MakeOperator
) -> None:
    first = operator("first", proxy)
    first.start()
    first.ready()
    for name in NAMES:
        api.make_task(space, name)
    api.all_end(space, len(NAMES))
    # Let the last status be told: it is over once NATS has the end.
    eventually(lambda: not_over(api, space) == 0, SECONDS, "all ends to be told")
    first.stop()
    proxy.calls.clear()
    second = operator("second", proxy)
    second.start()
    second.ready()
    eventually(lambda: second.metric("agenttask_leader") == 1, SECONDS, "it to lead")
    lists = [c for c in proxy.calls if "/agenttasks" in c.path and not c.watch]
    assert [c for c in lists if whole(c)] == []
    assert any(c.table for c in lists)
    path = f"{GROUP}/namespaces/{space}/agenttasks/{NAMES[0]}"
    api.request("PATCH", path, {"spec": {"runID": "2"}})
    eventually(lambda: runs(api, space, NAMES[0]) == 2, SECONDS, "the second run")
    assert len([c for c in proxy.calls if whole(c)]) == 1
    api.delete(f"{GROUP}/namespaces/{space}/agenttasks/{NAMES[1]}")
    api.make_task(space, NAMES[1], prompt="something else")
    eventually(lambda: jobs_of(api, space, NAMES[1]), SECONDS, "its namesake to run")
    assert second.alive


def jobs_of(api: Api, space: str, task: str) -> list[Object]:
    """Return the Jobs of the task object that is there now."""
    uid = api.task(space, task)["metadata"]["uid"]
    return [j for j in api.jobs(space) if j["metadata"]["ownerReferences"][0]["uid"] == uid]


def runs(api: Api, space: str, task: str) -> int:
    """Return how many runs the task's status tells of."""
    return int((api.task(space, task)["status"].get("run") or {}).get("number", 0))


def not_over(api: Api, space: str) -> int:
    def told_(task: Object) -> bool:
        conditions = task["status"].get("conditions") or []
        return any(c["type"] == "EventsPublished" and c["status"] == "True" for c in conditions)

    return sum(not told_(task) for task in api.tasks(space))


@pytest.mark.parametrize("silent", [roster, unfinished], ids=["roster", "unfinished"])
def test_either_watch_may_be_silent(
    api: Api, space: str, proxy: Proxy, operator: MakeOperator, silent: Callable[[Call], bool]
) -> None:
    one = operator("one", proxy, RESYNC_SECONDS="5")
    one.start()
    one.ready()
    api.make_task(space, "before")
    api.all_end(space, 1)
    proxy.faults = (Fault(silent, silent=True),)
    path = f"{GROUP}/namespaces/{space}/agenttasks/before"
    api.request("PATCH", path, {"spec": {"runID": "2"}})
    api.make_task(space, "during")
    eventually(lambda: runs(api, space, "before") == 2, SECONDS, "the second run")
    eventually(lambda: jobs_of(api, space, "during"), SECONDS, "the new task to run")
    api.all_end(space, 2)
    api.delete(path)
    api.make_task(space, "after")
    api.all_end(space, 2)
    assert one.alive
