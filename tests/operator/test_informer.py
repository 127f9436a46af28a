"""The informer: whatever breaks, it lists again and tells the whole truth."""

import asyncio
from typing import Any

import pytest

from agenttask_operator import informer as module
from agenttask_operator.cluster import Page
from agenttask_operator.errors import Forbidden, Gone, Unavailable
from agenttask_operator.informer import Informer, Listener
from agenttask_operator.kinds import JOBS


def obj(version):
    return {"metadata": {"name": "a", "resourceVersion": str(version)}}


class Source:
    """Plays a list of lists and a list of watches, then hangs."""

    def __init__(self, lists, watches):
        self.lists, self.watches = list(lists), list(watches)
        self.asked = []
        self.played = asyncio.Event()

    async def pages(self, _kind, _namespace=""):
        script = self.lists.pop(0)
        if isinstance(script, Exception):
            raise script
        for page in script:
            yield page

    async def watch(self, _kind, resource_version, _namespace=""):
        self.asked.append(resource_version)
        if not self.watches and not self.lists:
            self.played.set()
        if not self.watches:
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


class Heard(list[Any]):
    def listener(self):
        return Listener(
            lambda items, version: self.append(("replace", len(items), version)),
            lambda o: self.append(("changed", o["metadata"]["resourceVersion"])),
            lambda o: self.append(("deleted", o["metadata"]["resourceVersion"])),
        )


async def play(lists, watches):
    source, heard = Source(lists, watches), Heard()
    informer = Informer(source, JOBS, "", heard.listener(), pause=0.001)
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(5):
        await source.played.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return informer, source, heard


ONE = [Page([obj(1)], "5")]
TWO = [Page([obj(1)], "8"), Page([obj(2)], "9")]


async def test_list_then_watch():
    informer, source, heard = await play(
        [ONE], [[("ADDED", obj(6)), ("BOOKMARK", obj(7)), ("DELETED", obj(8))]]
    )
    assert heard == [("replace", 1, "5"), ("changed", "6"), ("deleted", "8")]
    assert informer.synced.is_set()


async def test_watch_that_ends_well_goes_on_where_it_was():
    _, source, heard = await play([ONE], [[("ADDED", obj(6))], [("MODIFIED", obj(7))]])
    assert source.asked == ["5", "6", "7"]
    assert heard.count(("replace", 1, "5")) == 1


@pytest.mark.parametrize(
    "error", [Gone("old"), Unavailable("cut"), Forbidden("rbac"), ValueError("a fault of ours")]
)
async def test_watch_that_breaks_is_followed_by_a_whole_list(error):
    _, source, heard = await play([ONE, TWO], [[error]])
    assert heard[-1] == ("replace", 2, "9")
    assert source.asked == ["5", "9"]


async def test_list_that_breaks_in_the_middle_tells_nothing():
    informer, _, heard = await play([Unavailable("503"), Gone("token"), ONE], [])
    assert heard == [("replace", 1, "5")]


def test_backoff_is_bounded():
    assert module.BACKOFF_LAST_SECONDS <= 60
