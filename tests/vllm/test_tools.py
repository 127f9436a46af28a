"""A real server makes a grammar of every tool that the agent may offer."""

import httpx
import pytest
from tests.vllm.conftest import Served

from agenttask_agent import finish
from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.schema import tool_schema

TOOLS = [*map(tool_schema, CATALOGUE), finish.schema(3)]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_all_tools_are_accepted_together(noise: Served, choice: str) -> None:
    """One schema that the server cannot compile would fail every turn of every run."""
    request = {
        "model": noise.model,
        "messages": [{"role": "user", "content": "Read utils.py."}],
        "tools": TOOLS,
        "tool_choice": choice,
        "max_completion_tokens": 8,
    }
    answer = httpx.post(f"{noise.url}/v1/chat/completions", json=request, timeout=300)
    assert answer.status_code == 200, answer.text
    assert len(TOOLS) > 50
