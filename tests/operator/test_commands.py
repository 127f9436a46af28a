"""What a command's message is taken for: pure, without NATS and without a cluster."""

import base64
import json

import pytest

from agenttask_api.commands import (
    MAX_COMMAND_BYTES,
    MAX_RAW_BYTES,
    CommandKind,
    Refusal,
    command_subject,
    derived_name,
)
from agenttask_operator.commands import (
    Envelope,
    NotDone,
    dead_letter,
    pause_after,
    read_command,
    same_work,
    sender_of,
)
from agenttask_operator.observed import Key
from agenttask_operator.tenants import BadTenant, Tenants, read_tenants

TENANTS = read_tenants("a=team-a/bridge,b=team-b/bridge", "a")
SPEC = {"prompt": "fix it", "repo": {"url": "https://git.example/x.git"}}
Body = dict[str, object]


def envelope(
    body: Body | bytes, kind=CommandKind.EXECUTE, tenant="a", message_id="m1", delivered=1
) -> Envelope:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    subject = command_subject(kind, tenant)
    return Envelope(kind, subject, payload, message_id, "AGENT_COMMANDS/7/t", delivered)


def refused(message: Envelope, tenants: Tenants = TENANTS) -> NotDone:
    with pytest.raises(NotDone) as found:
        read_command(message, tenants)
    return found.value


def test_the_subject_decides_namespace_and_account():
    command = read_command(envelope({"spec": SPEC}, tenant="b"), TENANTS)
    assert command.tenant.user == "system:serviceaccount:team-b:bridge"
    assert command.manifest
    assert command.manifest["metadata"]["namespace"] == "team-b"


def test_the_plain_subject_is_the_default_tenants():
    assert read_command(envelope({"spec": SPEC}, tenant=""), TENANTS).tenant.name == "a"
    nobody = refused(envelope({"spec": SPEC}, tenant=""), Tenants(TENANTS.by_name))
    assert nobody.reason is Refusal.UNKNOWN_TENANT
    assert "agent.cmd.execute.<tenant>" in str(nobody)


@pytest.mark.parametrize("field", ["namespace", "service_account", "tenant", "serviceAccount"])
def test_a_message_cannot_name_where_or_as_whom(field):
    error = refused(envelope({"spec": SPEC, field: "team-b"}))
    assert error.reason is Refusal.INVALID_COMMAND
    assert field in str(error)


def test_an_unknown_tenant_is_refused_before_anything_is_read():
    error = refused(envelope(b"\xff", tenant="c"))
    assert error.reason is Refusal.UNKNOWN_TENANT
    assert "'c'" in str(error)


def test_the_name_is_the_same_for_a_repeat_and_another_for_each_tenant():
    once = read_command(envelope({"spec": SPEC}), TENANTS)
    again = read_command(envelope({"spec": SPEC}, delivered=2), TENANTS)
    other = read_command(envelope({"spec": SPEC}, tenant="b"), TENANTS)
    assert once.key == again.key == Key("team-a", derived_name("a", "m1"))
    assert other.key.name != once.key.name


@pytest.mark.parametrize(
    ("message_id", "own", "known_by"),
    [("h", "p", "h"), ("", "p", "p"), ("", "", "AGENT_COMMANDS/7/t")],
)
def test_a_command_is_known_by_header_then_payload_then_place(message_id, own, known_by):
    body: Body = {"spec": SPEC, "event_id": own}
    assert read_command(envelope(body, message_id=message_id), TENANTS).event_id == known_by


def test_exactly_the_given_fields_are_sent():
    command = read_command(envelope({"name": "fix", "spec": {**SPEC, "runID": "2"}}), TENANTS)
    assert command.manifest
    assert command.manifest["spec"] == {**SPEC, "runID": "2"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "object"),
        (b"[" * 100_000, "recursion"),
        ({}, "spec: Field required"),
        ({"spec": {**SPEC, "promt": "x"}}, "spec.promt"),
        ({"spec": {**SPEC, "runID": "NO"}}, "spec.runID"),
        ({"spec": {**SPEC, "repo": {"url": "https://u:p@h/x"}}}, "credentials"),
        ({"spec": {**SPEC, "promptFrom": {"configMapKeyRef": {"name": "x", "key": "y"}}}},
         "exactly one of prompt"),
        ({"name": "Fix", "spec": SPEC}, "name"),
        ({"spec": SPEC, "reply_to": "agent.results.team-b.x"}, "reply_to"),
        ({"spec": SPEC, "reply_to": "_INBOX.*"}, "reply_to"),
        ({"spec": SPEC, "reply_to": "$JS.API.STREAM.DELETE.AGENT_RESULTS"}, "reply_to"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body, words):
    error = refused(envelope(body))
    assert error.reason is Refusal.INVALID_COMMAND
    assert words in str(error)


def test_an_error_does_not_quote_what_was_sent():
    error = refused(envelope({"spec": {**SPEC, "role": "s3cret-value"}}))
    assert "s3cret-value" not in str(error)


def test_a_large_message_is_refused_and_its_letter_is_cut():
    message = envelope({"spec": {**SPEC, "prompt": "x" * 300 * 1024}})
    error = refused(message)
    assert error.reason is Refusal.TOO_LARGE
    assert str(MAX_COMMAND_BYTES) in str(error)
    letter = dead_letter(error, message, TENANTS, "t")
    assert len(letter.raw) == MAX_RAW_BYTES
    assert (letter.truncated, letter.raw_bytes) == (True, len(message.payload))
    assert (letter.topic, letter.tenant) == ("agent.cmd.execute.a", "a")


def test_a_letter_holds_bytes_that_are_no_text():
    letter = dead_letter(NotDone(Refusal.INVALID_COMMAND, "x"), envelope(b"\xff\0"), TENANTS, "t")
    assert letter.encoding == "base64"
    assert base64.b64decode(letter.raw) == b"\xff\0"


def test_an_unusable_message_is_answered_where_it_asks_to_be():
    sender = sender_of(envelope({"reply_to": "_INBOX.x.1", "event_id": "e"}, message_id=""))
    assert (sender.inbox, sender.event_id) == ("_INBOX.x.1", "e")
    assert sender_of(envelope(b"{", message_id="m")).inbox == ""
    assert sender_of(envelope({"reply_to": "agent.results.x"})).inbox == ""
    assert sender_of(envelope(b'"text"')).event_id == "m1"


@pytest.mark.parametrize("kind", [CommandKind.STOP, CommandKind.REPORT])
def test_a_task_of_another_namespace_is_not_the_tenants(kind):
    body: Body = {"task_id": "team-b.fix", "reply_to": "_INBOX.1"}
    error = refused(envelope(body, kind))
    assert error.reason is Refusal.FORBIDDEN
    assert "team-a" in str(error)
    for ours in ("team-a.fix", "fix"):
        command = read_command(envelope({**body, "task_id": ours}, kind), TENANTS)
        assert command.key == Key("team-a", "fix")


def test_a_report_needs_an_inbox():
    error = refused(envelope({"task_id": "fix"}, CommandKind.REPORT))
    assert "reply_to" in str(error)


def test_the_same_work_is_recognised_with_the_defaults_that_were_filled_in():
    command = read_command(envelope({"name": "fix", "spec": SPEC}), TENANTS)
    stored = {"spec": {**SPEC, "role": "DEV", "className": "", "suspend": True}}
    assert same_work(stored, command)
    assert not same_work({"spec": {**SPEC, "prompt": "other"}}, command)
    assert not same_work({"spec": {**SPEC, "runID": "2"}}, command)
    assert not same_work({"spec": {"unknown": 1}}, command)


def test_pauses_grow_and_end():
    assert [pause_after(n) for n in (1, 2, 3, 30)] == [1, 2, 4, 300]


@pytest.mark.parametrize(
    ("text", "default", "words"),
    [
        ("a", "", "name=namespace/service-account"),
        ("a=x", "", "name=namespace/service-account"),
        ("a.b=x/y", "", "name=namespace/service-account"),
        ("a=x/y/z", "", "name=namespace/service-account"),
        ("a=x/y,a=x/z", "", "twice"),
        ("a=x/y", "b", "'b'"),
    ],
)
def test_a_bad_configuration_is_explained(text, default, words):
    with pytest.raises(BadTenant, match=words):
        read_tenants(text, default)
