"""Nothing that the operator says holds a prompt or a secret, whatever goes wrong."""

import io
import json
import logging

import pytest
from tests.operator.builders import task_object
from tests.operator.fakecluster import FakeCluster
from tests.operator.test_reconcile import KEY, Post, Process, live
from tests.operator.test_references import CONTEXT, config_map, referring

from agenttask_operator.errors import Forbidden, Refused
from agenttask_operator.kinds import CONFIG_MAPS, JOBS, TASKS
from agenttask_operator.logs import JSONFormatter
from agenttask_operator.observed import parse_task

PROMPT = "prompt-4417 that is nobody's business"


@pytest.fixture
def said():
    """All that is logged, at the lowest level."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.setLevel(level)
    root.removeHandler(handler)


def cluster():
    fake = FakeCluster()
    fake.put(TASKS, task_object(prompt=PROMPT))
    return fake


async def test_life_of_a_task_is_told_without_its_prompt(said):
    fake = cluster()
    await live(fake, Process(fake, Post()))
    assert "created a Job" in said.getvalue()
    assert PROMPT not in said.getvalue()
    assert PROMPT not in json.dumps(list(fake.events.values()))
    assert PROMPT not in json.dumps(fake.status)


@pytest.mark.parametrize("error", [Refused, Forbidden])
async def test_api_server_that_quotes_the_prompt_is_not_quoted(said, error):
    fake = cluster()
    fake.refuse_jobs = error(f'Job "x" is invalid: value: "{PROMPT}"')
    process = Process(fake, Post())
    for _ in range(3):
        await process.work(4)
    assert "the Job was refused" in said.getvalue()
    assert PROMPT not in said.getvalue()
    assert PROMPT not in json.dumps(fake.status)
    assert PROMPT not in json.dumps(list(fake.events.values()))
    assert 'Job "x" is invalid' in fake.status["message"]


def denied(quoted: str) -> list[dict[str, str]]:
    """The Event of a pod that an admission policy refused, and quoted."""
    words = f'Error creating: pods "fix-1" is forbidden: denied the pod of {quoted}'
    return [{"reason": "FailedCreate", "message": words, "lastTimestamp": "1"}]


async def test_event_that_quotes_the_prompt_is_not_quoted():
    fake = cluster()
    process = Process(fake, Post())
    await process.work()
    fake.notes = denied(PROMPT)
    for _ in range(3):
        await process.work(8)
    assert fake.status["reason"] == "PodCreationDenied"
    assert "is forbidden: denied the pod of" in fake.status["message"]
    assert PROMPT not in json.dumps([fake.status, list(fake.events.values())])


async def test_event_that_quotes_what_a_config_map_holds_is_not_quoted():
    fake = FakeCluster()
    fake.put(CONFIG_MAPS, config_map(prompt_md=PROMPT, notes_md=f"context of {PROMPT}"))
    fake.put(TASKS, referring(contextFrom=[CONTEXT]))
    process = Process(fake)
    await process.work()
    assert fake.all(JOBS)
    for quoted in (PROMPT, f"context of {PROMPT[:12]}"):
        fake.notes = denied(quoted)
        for _ in range(3):
            await process.work(8)
        assert fake.status["reason"] == "PodCreationDenied"
        assert "is forbidden: denied the pod" in fake.status["message"]
        assert quoted[:16] not in json.dumps([fake.status, list(fake.events.values())])


async def test_exception_is_told_by_type_and_place_never_by_its_words(said):
    try:
        raise ValueError(PROMPT)
    except ValueError:
        logging.getLogger("agenttask_operator").exception("a fault of ours")
    entry = json.loads(said.getvalue().splitlines()[-1])
    assert entry["error"].startswith("ValueError at test_exception_is_told")
    assert PROMPT not in said.getvalue()


def test_spec_that_cannot_be_read_is_named_without_its_values():
    obj = task_object(prompt=PROMPT, role=PROMPT)
    error = parse_task(obj).spec_error
    assert "spec.role" in error
    assert PROMPT not in error


def test_record_is_one_json_line_with_the_known_extras():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "done %d", (3,), None)
    record.task, record.namespace, record.prompt = KEY.name, KEY.namespace, PROMPT
    entry = json.loads(JSONFormatter().format(record))
    assert (entry["msg"], entry["task"], entry["level"]) == ("done 3", "fix", "info")
    assert "prompt" not in entry
