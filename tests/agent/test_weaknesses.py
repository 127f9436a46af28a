"""What a validator refuses reaches nothing: each stands before what it guards.

The eighth, for addresses of databases, is not the model's to meet: the courier's checks are
in `tests/databases/test_connection.py`.
"""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.toolboxes import Tools

from agenttask_agent.tools import validators
from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.docker_engine import Docker, Engine
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.http_client import HttpClient
from agenttask_agent.tools.http_policy import host_policy
from agenttask_agent.tools.refusal import ToolError
from agenttask_agent.tools.schema import parameters_schema

IMAGE = "r.example/x"
GUARDED: tuple[tuple[Any, Any, str, dict[str, Any]], ...] = (
    (validators.path, "../x", "files.read_file", {"path": "../x"}),
    (validators.path, ".git/config", "files.write_file", {"path": ".git/config", "content": ""}),
    (validators.url, "http://0x7f000001/", "http.get", {"url": "http://0x7f000001/"}),
    (validators.git_url, "ext::sh -c id", "git.clone", {"url": "ext::sh -c id"}),
    (validators.image, "--privileged", "docker.run", {"image": "--privileged"}),
    (validators.image, "oci:x", "docker.run", {"image": "oci:x"}),
    (validators.command_args, ["--x"], "docker.run", {"image": IMAGE, "command": ["--x"]}),
    (validators.command_args, ["-x"], "docker.exec", {"container": "web", "command": ["-x"]}),
    (validators.env_vars, {"LD_X": "x"}, "docker.run", {"image": IMAGE, "env": {"LD_X": "x"}}),
    (validators.env_vars, {"A B": "x"}, "docker.run", {"image": IMAGE, "env": {"A B": "x"}}),
)
OTHERWISE = {
    "host": "test_http_policy.py::test_an_entry_that_is_no_host_is_refused_by_name",
    "mapping": "test_toolbox.py::test_maps_are_bounded_though_no_grammar_can_say_so",
    "log_output": "test_run.py::test_a_failed_setup_step_is_named_and_no_model_is_asked",
}
"""Validators of what no argument of an operation is, and the test at their place."""


@pytest.fixture
def tools(make_tools: MakeTools, tmp_path: Path) -> Tools:
    """Every family, with an engine that leaves a mark when it is asked to do something."""
    program = tmp_path / "engine"
    own = f"{'a' * 64}|agenttask-1-abcdef01-web|x|Up 1 second"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = ps ] && echo "{own}" && exit\n'
        f'[ "$1" = images ] && exit\ntouch {tmp_path / "asked"}\n'
    )
    program.chmod(0o755)
    tools = make_tools(role=None)
    engine = Engine("podman", (str(program),), {"PATH": "/usr/bin:/bin"})
    tools.toolbox.context = replace(
        tools.toolbox.context,
        docker=Docker(engine, DockerSettings("1-abcdef01", images=("*",)), tmp_path),
        http=HttpClient(host_policy(["*.example"], ["*.example"])),
    )
    return tools


@pytest.mark.parametrize(
    ("validator", "value", "operation", "arguments"),
    GUARDED,
    ids=[f"{row[0].__name__} {row[1]} {row[2]}" for row in GUARDED],
)
def test_an_operation_says_what_its_validator_says(
    tools: Tools, tmp_path: Path, validator: Any, value: Any, operation: str, arguments: Any
):
    with pytest.raises(ToolError) as said:
        validator(value)
    result = tools(operation, **arguments)
    assert result.error == str(said.value)
    assert not (tmp_path / "asked").exists()


def test_there_is_no_validator_that_guards_nothing():
    found = inspect.getmembers(validators, inspect.isfunction)
    ours = {n for n, f in found if f.__module__ == validators.__name__ and not n.startswith("_")}
    assert ours == {row[0].__name__ for row in GUARDED} | set(OTHERWISE)


@pytest.mark.parametrize("operation", CATALOGUE, ids=lambda operation: operation.key)
def test_no_argument_is_a_time_or_a_size_of_the_harness(operation: Any):
    schema: dict[str, Any] = parameters_schema(operation.params)
    names = " ".join(schema["properties"])
    for word in ("timeout", "second", "limit", "memory", "max_output", "workspace", "password"):
        assert word not in names
