"""Model endpoints: what an answer, and what no answer, tells."""

import aiohttp
import pytest
from aiohttp import web
from tests.servers.vllmmetrics import vllm_metrics

from agenttask_api.reasons import Reason
from agenttask_operator.classstatus import class_status
from agenttask_operator.models import Health, closed, probe, read_load

from tests.operator.builders import NOW, class_object, make_class  # isort: skip
from agenttask_operator.observed import parse_class

METRICS = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 9.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m"} 7.0
vllm:num_requests_running{engine="1",model_name="m"} 1.0
"""


class Model:
    """An endpoint that answers as told."""

    def __init__(self):
        self.statuses = {"/health": 200, "/v1/models": 200, "/metrics": 404}
        self.metrics = b""
        self.url = ""

    async def handle(self, request):
        return web.Response(status=self.statuses[request.path], body=self.metrics)


@pytest.fixture
async def model():
    found = Model()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = site.name
    yield found
    await runner.cleanup()


UNKNOWN = Health()


async def ask(url, before=UNKNOWN):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
        return await probe(session, url, before)


async def test_endpoint_that_answers_is_open(model):
    health = await ask(model.url)
    assert (health.answers, health.key_required) == (True, False)
    assert closed({model.url: health}) == {}


@pytest.mark.parametrize("status", [401, 403])
async def test_endpoint_that_wants_a_key_answers_too(model, status):
    model.statuses |= {"/v1/models": status, "/health": 401}
    health = await ask(model.url)
    assert (health.answers, health.key_required) == (True, True)


async def test_endpoint_without_health_is_judged_by_its_models(model):
    model.statuses["/health"] = 404
    assert (await ask(model.url)).answers is True


@pytest.mark.parametrize("path", ["/health", "/v1/models"])
async def test_endpoint_that_fails_twice_is_closed(model, path):
    model.statuses[path] = 503
    first = await ask(model.url)
    assert first.answers is False
    assert closed({model.url: first}) == {}
    second = await ask(model.url, first)
    obstacle = closed({model.url: second})[model.url]
    assert obstacle.reason is Reason.MODEL_UNAVAILABLE
    assert "503" in obstacle.words
    model.statuses[path] = 200
    assert (await ask(model.url, second)).failures == 0


async def test_nobody_there_is_no_answer():
    health = await ask("http://127.0.0.1:1", Health(failures=1))
    assert closed({"x": health})["x"].reason is Reason.MODEL_UNAVAILABLE


async def test_server_with_more_waiting_than_running_is_full(model):
    model.statuses["/metrics"], model.metrics = 200, METRICS
    health = await ask(model.url)
    assert (health.running, health.waiting) == (4.0, 9.0)
    assert closed({model.url: health})[model.url].reason is Reason.MODEL_AT_CAPACITY


def test_load_is_read_from_all_that_vllm_tells():
    assert read_load(vllm_metrics(running=256, waiting=581).encode()) == (256.0, 581.0)


def test_load_is_zero_where_nothing_is_told():
    assert read_load(b"<html>") == (0.0, 0.0)


# The class's status.


def conditions(status):
    return {c.type: (c.status, c.reason) for c in status.conditions}


def test_class_whose_model_answers_is_ready():
    status = class_status(make_class(), Health(True, "ok", True), 2, 5, NOW)
    assert conditions(status) == {
        "Ready": ("True", "Accepted"),
        "ModelReachable": ("True", "Answers"),
        "ModelKeyRequired": ("True", "Refused"),
        "EgressEnforced": ("False", "NotMade"),
    }
    assert (status.running, status.queued) == (2, 5)


def test_class_whose_model_is_away_is_not_ready():
    status = class_status(make_class(), Health(False, "no answer: X"), 0, 0, NOW)
    assert conditions(status)["Ready"] == ("False", "ModelUnavailable")


def test_class_that_cannot_be_read_says_so():
    obj = class_object()
    obj["spec"]["model"]["endpoint"] = "nonsense"
    status = class_status(parse_class(obj), Health(), 0, 0, NOW)
    assert conditions(status)["Ready"] == ("False", "InvalidSpec")


def test_equal_facts_give_an_equal_status_whenever_they_are_looked_at():
    class_ = make_class()
    first = class_status(class_, Health(True, "ok", False), 0, 0, NOW)
    obj = class_object() | {"status": first.to_api()}
    later = NOW.replace(year=2030)
    assert class_status(parse_class(obj), Health(True, "ok", False), 0, 0, later) == first
