"""What the operator puts on NATS fits the published schemas; what others send must fit, too."""

import json

import pytest
from tests.operator.builders import (
    NOW,
    WITH_NATS,
    dead,
    first,
    judged,
    make_facts,
    make_job,
    make_pod,
)
from tests.operator.test_context import result
from tests.schemas import FOLDER, fits, valid, validator

from agenttask_api import names
from agenttask_api.commands import CommandKind
from agenttask_api.subjects import PAYLOADS
from agenttask_operator.actions import Publish
from agenttask_operator.commands import Envelope, NotDone, read_command
from agenttask_operator.planner import plan
from agenttask_operator.tenants import read_tenants

TENANTS = read_tenants("a=team-a/bridge", "a")
SPEC = {"prompt": "fix it", "repo": {"url": "https://git.example/x.git"}}
SCHEMA_OF = {
    "$KV": "agent-context",
    "context": "context.updated",
    "agent.results": "agent.results",
    "agent.response": "agent.response",
}


def schema_of(subject: str) -> str:
    return next(schema for start, schema in SCHEMA_OF.items() if subject.startswith(start))


@pytest.mark.parametrize(
    ("pod", "found"),
    [
        (judged(stored=True), result()),
        (judged("VerificationFailed", "Failed", verdict="Rejected"), None),
        (make_pod(dead(names.AGENT, 137, reason="OOMKilled"), phase="Failed"), None),
    ],
    ids=["succeeded", "rejected", "killed"],
)
def test_every_message_of_an_end_fits(pod, found):
    job = make_job(finished="Failed" if pod.phase == "Failed" else "")
    facts = make_facts(jobs=(job,), pods=(pod,), defaults=WITH_NATS, result=found)
    messages = first(plan(facts, NOW), Publish).messages
    for message in messages:
        payload = valid(schema_of(message.subject), message.payload)
        assert payload["task_id"] == "team.fix"
    assert {schema_of(m.subject) for m in messages} >= {"agent-context", "agent.response"}


def test_every_schema_is_published_and_sound():
    published = {path.stem for path in FOLDER.glob("*.json")}
    assert published == {kind.name for kind in PAYLOADS}
    for kind in PAYLOADS:
        schema = validator(kind.name).schema
        assert isinstance(schema, dict)
        assert schema["$id"] == f"{kind.name}.json"


@pytest.mark.parametrize(
    ("body", "good"),
    [
        ({"spec": SPEC}, True),
        ({"name": "fix", "event_id": "e", "reply_to": "_INBOX.1", "spec": SPEC}, True),
        ({"spec": {**SPEC, "runID": "2", "tools": {"allow": ["files.*"]}}}, True),
        ({}, False),
        ({"spec": {**SPEC, "promt": "x"}}, False),
        ({"spec": SPEC, "namespace": "team-b"}, False),
        ({"spec": {**SPEC, "role": "BOSS"}}, False),
        ({"name": "Fix", "spec": SPEC}, False),
        ({"spec": SPEC, "reply_to": "agent.results.x"}, False),
    ],
)
def test_the_schema_of_a_command_says_what_the_operator_says(body, good):
    payload = json.dumps(body).encode()
    message = Envelope(CommandKind.EXECUTE, "agent.cmd.execute.a", payload, "", "place")
    try:
        read_command(message, TENANTS)
        taken = True
    except NotDone:
        taken = False
    assert (fits("agent.cmd.execute", body), taken) == (good, good)
