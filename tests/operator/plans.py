"""What a plan comes to, in the words of the planner's tests."""

from tests.operator.builders import (
    make_facts,
    make_job,
    waiting,
)
from tests.operator.world import settle

from agenttask_api import names
from agenttask_api.status import ConditionType

IMAGE = waiting(names.AGENT, "ImagePullBackOff", "no such image")


def told(facts):
    """Return the status after everything was done, with its conditions by type."""
    status = settle(facts)[0].task.status
    return status, {c.type: (c.status, c.reason) for c in status.conditions}


def published(facts):
    """Return what the status says of NATS."""
    condition = facts.task.status.condition(ConditionType.EVENTS_PUBLISHED)
    return condition.status if condition else ""


def kinds(actions):
    return [type(a).__name__ for a in actions]


def with_job(*pods, job=None, **more):
    return make_facts(more.pop("task", None), jobs=(job or make_job(),), pods=pods, **more)
