"""The script: which conversation is answered with which replies.

A reply is found by counting, not by remembering: the n-th reply answers a
conversation that holds n-1 assistant messages, so retries and parallel agents each
get the right one.
"""

import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

DEFAULT_WINDOW = 32768


class BadScript(ValueError):
    """The file is not a rehearsal script; the text says where and why."""


class ScriptModel(BaseModel):
    """Part of a script: camelCase keys, unknown ones refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True
    )


class Fault(ScriptModel):
    """What goes wrong, for the first `times` requests of this turn; exactly one kind.

    `truncate` and `delaySeconds` change the scripted answer, the others replace it.
    """

    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: str = ""
    """The error's message, for `status`."""
    type: str = ""
    """The error's type, for `status`; else the usual one of that status."""
    drop: bool = False
    garbage: bool = False
    truncate: bool = False
    delay_seconds: Annotated[float, Field(ge=0, le=3600)] = 0

    @model_validator(mode="after")
    def _one_kind(self) -> "Fault":
        kinds = [self.status, self.drop, self.garbage, self.truncate, self.delay_seconds]
        if sum(bool(kind) for kind in kinds) != 1:
            raise ValueError("give exactly one of status, drop, garbage, truncate, delaySeconds")
        return self


class Call(ScriptModel):
    """A tool call; strings in `arguments` may hold placeholders."""

    name: str
    arguments: dict[str, object] | str = {}
    """An object, or the raw text to send in its place."""


class Reply(ScriptModel):
    """One answer of the model."""

    content: str = ""
    reasoning: str = ""
    tool_calls: Annotated[tuple[Call, ...], Field(alias="tool_calls")] = ()
    fault: Fault | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Reply":
        if not (self.content or self.tool_calls or self.fault):
            raise ValueError("a reply needs content, tool_calls or fault")
        return self


class Conversation(ScriptModel):
    """Replies to every conversation whose first user message matches."""

    match: str
    replies: Annotated[tuple[Reply, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _pattern(self) -> "Conversation":
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match is not a regular expression: {error}") from error
        return self

    def matches(self, prompt: str) -> bool:
        """Say whether the first user message is meant for these replies."""
        return re.search(self.match, prompt) is not None


class Script(ScriptModel):
    """One file."""

    name: str = ""
    """How answers name the script; the file's name when empty."""
    model: Annotated[str, Field(min_length=1, max_length=253)]
    max_model_len: Annotated[int, Field(ge=1, le=10_000_000)] = DEFAULT_WINDOW
    structured_output: bool = True
    """Whether the rehearsed server obeys a schema."""
    required_calls: bool = True
    """Whether it obeys `tool_choice: required`."""
    conversations: Annotated[tuple[Conversation, ...], Field(min_length=1)]


def load_script(path: Path) -> Script:
    """Return the script in a file; raises BadScript for anything else."""
    try:
        script = parse_script(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, BadScript) as error:
        raise BadScript(f"{path}: {error}") from error
    return script.model_copy(update={"name": script.name or path.stem})


def parse_script(text: str) -> Script:
    """Return the script that the YAML text holds."""
    try:
        return Script.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise BadScript(f"not YAML: {error}") from error
    except ValidationError as error:
        raise BadScript(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'file'}: {p['msg']}" for p in problems[:10])
