"""Log lines for the courier: what a tool said, bounded, and never in the way of progress."""

import threading

import httpx
from tests.agent.conftest import MakePod

from agenttask_agent.door import MAX_WAITING_BEFORE_LOGS, Door
from agenttask_agent.loglines import HEAD_LINES, MAX_CHARACTERS, TAIL_LINES, log_event
from agenttask_agent.rehearsal.script import Script
from agenttask_api.door import LOG, DoorEvent


def test_short_text_is_told_whole():
    event = log_event(3, "one\ntwo")
    assert (event.step, event.type, event.message) == (3, LOG, "one\ntwo")


def test_of_many_lines_head_and_tail_are_told():
    lines = log_event(1, "\n".join(map(str, range(1000)))).message.splitlines()
    assert lines[:HEAD_LINES] == [*map(str, range(HEAD_LINES))]
    assert lines[HEAD_LINES] == "[... 960 lines left out ...]"
    assert lines[-TAIL_LINES:] == [*map(str, range(1000 - TAIL_LINES, 1000))]


def test_of_long_lines_so_many_characters_are_told():
    message = log_event(1, "a" * 50_000 + "the end").message
    assert len(message) < MAX_CHARACTERS + 100
    assert message.endswith("the end")


def test_no_log_line_waits_where_progress_waits():
    go = threading.Event()

    def answer(_: httpx.Request) -> httpx.Response:
        assert go.wait(20)
        return httpx.Response(202)

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://door") as client:
        door = Door(client)
        for number in range(MAX_WAITING_BEFORE_LOGS + 50):
            door.tell(log_event(1, str(number)))
        for number in range(50):
            door.tell(DoorEvent(step=1, type="action", message=str(number)))
        go.set()
        door.flush(20)
    assert 40 <= door.lost_logs <= 50
    assert door.lost_events == 0


def test_run_tells_what_its_tools_said(make_pod: MakePod, hello_world: Script):
    pod = make_pod(hello_world)
    assert pod.run()[0] == 0
    told = [event for event in pod.door.events if event.type == LOG]
    assert pod.door.report
    operations = pod.door.report.operations
    assert len(told) == len(operations)
    for event, operation in zip(told, operations, strict=True):
        assert event.message.startswith(f"[{operation.operation}: ")
    assert max(event.step for event in told) > 0
