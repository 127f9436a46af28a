"""Tasks and classes to send to the API server, and what it says when it refuses one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from agenttask_testbed.commands import CommandFailed

Kubectl = Callable[..., str]
DRY = "--dry-run=server"


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return base with changes laid over it; None removes, as in a merge patch."""
    result = dict(base)
    for key, value in changes.items():
        inner = base.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and value else value
    return {key: value for key, value in result.items() if value is not None}


def task(name: str = "fix-12", **spec: Any) -> str:
    base = {"prompt": "Fix issue 12", "repo": {"url": "https://git.example/x.git"}}
    return manifest("AgentTask", name, merged(base, spec))


def agent_class(name: str = "standard", **spec: Any) -> str:
    return manifest("AgentClass", name, merged({"model": {"endpoint": "http://vllm:8000"}}, spec))


def manifest(kind: str, name: str, spec: dict[str, Any]) -> str:
    head = {"apiVersion": "agenttask.dev/v1alpha1", "kind": kind}
    return json.dumps({**head, "metadata": {"name": name}, "spec": spec})


def refusal(kubectl: Kubectl, *args: str, stdin: str | None = None) -> str:
    """Return what the API server says against the request."""
    with pytest.raises(CommandFailed) as refused:
        kubectl(*args, input=stdin)
    return refused.value.stderr
