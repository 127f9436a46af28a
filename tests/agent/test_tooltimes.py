"""What the agent tells of its tools where its run is traced, and that it is silent elsewhere."""

from tests.agent.conftest import MakePod

from agenttask_agent.rehearsal.script import Script
from agenttask_api.door import TOOL, ToolCall
from agenttask_api.tracing import traceparent


def test_traced_run_tells_when_each_tool_was_called(make_pod: MakePod, hello_world: Script):
    pod = make_pod(hello_world, traceparent=traceparent("uid", "1-abc"))
    assert pod.run()[0] == 0
    told = [ToolCall(**event.data) for event in pod.door.events if event.type == TOOL]
    assert pod.door.report
    operations = pod.door.report.operations
    assert [call.operation for call in told] == [done.operation for done in operations]
    assert [call.success for call in told] == [done.success for done in operations]
    assert all(call.began_ns <= call.ended_ns for call in told)


def test_run_that_is_not_traced_tells_nothing_of_it(make_pod: MakePod, hello_world: Script):
    pod = make_pod(hello_world)
    assert pod.run()[0] == 0
    assert pod.door.report
    assert pod.door.report.operations
    assert [event for event in pod.door.events if event.type == TOOL] == []
