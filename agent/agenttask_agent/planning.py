"""Reads a plan: the schema a model is asked for, and what it may have made of it.

Pure. What a step names is looked up among the operations that were offered, as
forgivingly as a tool call; what is left over is a problem that the model is told.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agenttask_agent.messages import Message
from agenttask_agent.models.parsing import find_object, parse_object, repair_name
from agenttask_api.result import Plan, PlanStep

MAX_STEPS = 50
MAX_REASONING = 2000
EMPTY = "the plan has no steps"
NO_PLAN = 'the reply is not one JSON object with "reasoning" and "steps"'


class BadPlan(ValueError):
    """The reply is no plan that can be executed; the text says why, for the model."""


class _Step(BaseModel):
    model_config = ConfigDict(extra="ignore")

    tool: str
    operation: str = ""
    params: dict[str, object] = {}

    @field_validator("params", mode="before")
    @classmethod
    def _read(cls, value: object) -> object:
        """Take arguments that were encoded once more for what they mean."""
        return parse_object(value) if isinstance(value, str) else value or {}


class _Draft(BaseModel):
    model_config = ConfigDict(extra="ignore")

    reasoning: str = ""
    steps: list[_Step] = Field(max_length=MAX_STEPS)


def plan_schema(tools: Sequence[Message]) -> Message:
    """Return the JSON schema of a plan over these tools, bounded everywhere."""
    return {
        "type": "object",
        "properties": {
            "reasoning": {"type": "string", "maxLength": MAX_REASONING},
            "steps": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_STEPS,
                "items": {"anyOf": [_step_schema(tool) for tool in tools]},
            },
        },
        "required": ["reasoning", "steps"],
        "additionalProperties": False,
    }


def _step_schema(tool: Message) -> Message:
    family, operation = _split(name_of(tool))
    return {
        "type": "object",
        "properties": {
            "tool": {"const": family},
            "operation": {"const": operation},
            "params": _function(tool)["parameters"],
        },
        "required": ["tool", "operation", "params"],
        "additionalProperties": False,
    }


def listed(tools: Sequence[Message]) -> str:
    """Return the operations as text: what a model reads that gets no tool schemas."""
    return "\n".join(_listed(tool) for tool in tools)


def _listed(tool: Message) -> str:
    family, operation = _split(name_of(tool))
    function = _function(tool)
    parameters = _mapping(function["parameters"])
    required = parameters.get("required")
    names = [
        name if isinstance(required, list) and name in required else f"{name}?"
        for name in _mapping(parameters.get("properties"))
    ]
    return f"- {family} {operation}({', '.join(names)}): {function['description']}"


def read_plan(content: str, names: Sequence[str]) -> Plan:
    """Return the plan in a reply, its steps under offered names; raises BadPlan."""
    given = find_object(content)
    if not given:
        raise BadPlan(NO_PLAN)
    try:
        draft = _Draft.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise BadPlan(f"{where}: {problem['msg']}") from error
    if not draft.steps:
        raise BadPlan(EMPTY)
    steps = tuple(_step(number, step, names) for number, step in enumerate(draft.steps, 1))
    return Plan(reasoning=draft.reasoning[:MAX_REASONING], steps=steps)


def _step(number: int, step: _Step, names: Sequence[str]) -> PlanStep:
    name = next(
        (found for text in _spellings(step) if (found := repair_name(text, names)) in names), None
    )
    if name is None:
        raise BadPlan(f"step {number}: there is no operation {step.tool} {step.operation}".rstrip())
    family, operation = _split(name)
    return PlanStep(tool=family, operation=operation, params=step.params)


def _spellings(step: _Step) -> tuple[str, ...]:
    """Return what the model may have meant: both words, or the whole name in one of them."""
    return (f"{step.tool}_{step.operation}".strip("_"), step.operation or step.tool, step.tool)


def as_text(plan: Plan) -> str:
    """Return the plan as a person reads it."""
    steps = [
        f"{number}. {step.tool}.{step.operation} {step.params}"
        for number, step in enumerate(plan.steps, 1)
    ]
    return "\n".join([plan.reasoning, *steps]).strip()


def name_of(tool: Message) -> str:
    """Return the name that a tool schema is called by."""
    return str(_function(tool)["name"])


def _function(tool: Message) -> Mapping[str, object]:
    return _mapping(tool["function"])


def _split(name: str) -> tuple[str, str]:
    family, _, operation = name.partition("_")
    return family, operation


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
