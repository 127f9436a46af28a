"""Whatever a model writes, the engine is told nothing that was not foreseen.

The engine here is a program that writes down each argument and fails: fast enough for
hundreds of calls, and nothing can hide from it. The real one is in test_docker.py.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.agent.feeding import MANY
from tests.agent.projects import make_repository
from tests.agent.toolboxes import Tools

from agenttask_agent.tools import docker
from agenttask_agent.tools.docker_engine import Docker, Engine
from agenttask_agent.tools.docker_policy import DockerSettings

KEY = "1-abcdef01"
OWN = f"{'a' * 64}|agenttask-{KEY}-web|x|Up 1 second"
HOSTILE = [
    *("--privileged", "-v=/:/host", "--pid=host", "-", "--", "", "..", "/", "/etc:/x", "a\0b"),
    *("web", "a" * 12, "$(id)", "a;b", "a\n--privileged", "localhost/x", "http://127.0.0.1/"),
    *("\ud800", "\u202e", "x" * 5000, "../../x:/y", ".:/x", "data:/x", "data:/\ud800", "80", "0:0"),
]
TEXT = st.sampled_from(HOSTILE) | st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
ALLOWED_FIRST = {"build", "run", "exec", "ps", "logs", "stop", "rm", "images", "inspect", "kill"}
OPENING = ("privileged", "host", "cap-add", "device", "userns", "security-opt=label", "mount=")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tools, Path]]:
    folder = tmp_path_factory.mktemp("recorder")
    program, record = folder / "engine", folder / "record"
    program.write_text(
        f'#!/bin/sh\nfor word in "$@"; do printf "%s\\0" "$word"; done >> {record}\n'
        f'printf "\\1" >> {record}\n[ "$1" = ps ] && echo "{OWN}" && exit 0\n'
        '[ "$1" = images ] && exit 0\nexit 1\n'
    )
    program.chmod(0o755)
    files = {"Dockerfile": "FROM scratch\n", "data/a": "a"}
    tools = Tools(
        make_repository(folder / "repo", files),
        folder / "tmp",
        role=None,
        catalogue=docker.OPERATIONS,
    )
    engine = Engine("podman", (str(program),), {"PATH": "/usr/bin:/bin"})
    made = Docker(engine, DockerSettings(KEY, images=("*",)), folder)
    tools.toolbox.context = replace(tools.toolbox.context, docker=made)
    yield tools, record
    tools.close()


def arguments_for(operation: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of the right shape with hostile values, or of any shape at all."""
    properties = operation.params.model_json_schema()["properties"] or {"x": {}}
    shaped = {name: value_for(schema) for name, schema in properties.items()}
    return st.fixed_dictionaries({}, optional=shaped) | st.dictionaries(
        st.sampled_from(sorted(shaped)) | TEXT, JSON, max_size=4
    )


def value_for(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    kinds = [schema, *schema.get("anyOf", ())]
    types = {kind.get("type") for kind in kinds}
    if "boolean" in types:
        return st.booleans()
    if "integer" in types:
        return st.integers(-5, 6000)
    if "array" in types:
        return st.lists(TEXT, max_size=4)
    if "object" in types:
        return st.dictionaries(TEXT, TEXT, max_size=3)
    return TEXT


def told(record: Path) -> list[list[str]]:
    """Return the engine's calls since the last time, each as its words."""
    if not record.exists():
        return []
    content = record.read_bytes().decode(errors="surrogateescape")
    record.unlink()
    return [call.split("\0")[:-1] for call in content.split("\1") if call]


@pytest.mark.parametrize("operation", docker.OPERATIONS, ids=lambda operation: operation.key)
def test_the_engine_is_told_nothing_unforeseen(recorded, operation):
    tools, record = recorded

    @MANY
    @given(arguments_for(operation))
    @example({"container": "web", "command": ["sh"], "image": "--privileged"})
    @example({"image": "r.example/x", "volumes": ["data:/\ud800"], "env": {"A": "--privileged"}})
    @example({"image": "r.example/x", "volumes": ["data:/x"], "command": ["a", "--privileged"]})
    def check(arguments: dict[str, Any]) -> None:
        result = tools.toolbox.call(operation.key, arguments)
        assert not str(result.error).startswith("internal error: "), (arguments, result.error)
        for words in told(record):
            assert words[0] in ALLOWED_FIRST
            for word in options_of(words):
                assert not any(bad in word.partition("=")[0] + "=" for bad in OPENING), words
                assert not word.startswith(("--volume=/etc", "--volume=/:")), words

    check()


def options_of(words: list[str]) -> list[str]:
    """Return the words before the first that is not an option, as the engine reads them."""
    found = []
    for word in words[1:]:
        if not word.startswith("-"):
            break
        found.append(word)
    return found
