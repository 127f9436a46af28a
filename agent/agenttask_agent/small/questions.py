"""The questions a small model is asked: requests from facts, pure.

Small values are constrained by schemas with the repository's own names in them; code
travels as free text in a fence that the request has opened already, never in JSON
(2 of 12 tasks against 8 of 12, measured with a 0.5B coder on vLLM).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agenttask_agent import prompts
from agenttask_agent.messages import Message
from agenttask_agent.small.index import SourceFile

DECISION_TOKENS = 200
CREATE, EDIT, FINISH = "create_file", "edit_file", "finish"
NEW_PATH = r"^[A-Za-z_][A-Za-z0-9_/-]{0,60}\.[a-z]{1,5}$"
LANGUAGES = {
    "py": "python", "js": "javascript", "ts": "typescript", "go": "go", "rs": "rust", "sh": "bash",
    "md": "markdown", "json": "json", "toml": "toml", "yaml": "yaml", "yml": "yaml",
}  # fmt: skip
REPEATS: Message = {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 6}
"""vLLM ends an answer that goes in circles; other servers do not know the field."""


@dataclass(frozen=True)
class Sample:
    """How warm an answer is to be: the first one at 0, each further one different."""

    number: int = 0

    @property
    def settings(self) -> Message:
        return {"temperature": min(0.8, 0.4 * self.number), "seed": 7 + self.number}


def where(task: str, files: Sequence[SourceFile], done: Sequence[str]) -> Message:
    """Ask which file is next, as a required tool call with the real paths as choices."""
    listed = "\n".join(_line(file) for file in files)
    state = "Done so far: " + "; ".join(done) if done else "Nothing was done yet."
    content = prompts.fill("small/where", task=task, files=listed, state=state)
    tools = [_tool(CREATE, "create a new file", {"path": {"type": "string", "pattern": NEW_PATH}})]
    if files:
        paths = {"type": "string", "enum": [file.path for file in files]}
        tools.insert(0, _tool(EDIT, "change an existing file", {"path": paths}))
    if done:
        tools.append(_tool(FINISH, "the task is done", {}))
    return _base(prompts.text("small/system"), content, DECISION_TOKENS) | {
        "tools": tools,
        "tool_choice": "required",
        "parallel_tool_calls": False,
    }


def whole_file(path: str, before: str, task: str, problem: str, sample: Sample) -> Message:
    """Ask for the complete new content of a file."""
    fence = _fence(before)
    name = "small/whole_file" if before else "small/new_file"
    content = prompts.fill(name, path=path, fence=fence, source=before, task=task)
    return _code(path, _with(content, problem), fence, before, sample)


def which_symbol(path: str, source: str, symbols: Sequence[str], task: str) -> Message:
    """Ask for one function or class of a file, by its name."""
    fence = _fence(source)
    content = prompts.fill("small/which", path=path, fence=fence, source=source, task=task)
    schema: Message = {
        "type": "object",
        "properties": {"symbol": {"enum": list(symbols)}},
        "required": ["symbol"],
        "additionalProperties": False,
    }
    wrapped = {"name": "symbol", "schema": schema, "strict": True}
    return _base(prompts.text("small/system"), content, DECISION_TOKENS) | {
        "response_format": {"type": "json_schema", "json_schema": wrapped}
    }


def one_symbol(path: str, symbol: str, code: str, task: str, problem: str, s: Sample) -> Message:
    """Ask for the new code of one function or class."""
    fence = _fence(code)
    content = prompts.fill("small/symbol", path=path, symbol=symbol, fence=fence, source=code,
                           task=task)  # fmt: skip
    return _code(path, _with(content, problem), fence, code, s)


def addition(path: str, before: str, task: str, problem: str, sample: Sample) -> Message:
    """Ask for nothing but what is to be added at a file's end."""
    fence = _fence(before)
    content = prompts.fill("small/addition", path=path, fence=fence, source=before, task=task)
    return _code(path, _with(content, problem), fence, "x" * 3000, sample)


def _code(path: str, content: str, fence: str, before: str, sample: Sample) -> Message:
    """A question whose answer begins inside the fence and ends before the next one."""
    language = LANGUAGES.get(path.rpartition(".")[2], "")
    request = _base(prompts.text("small/system"), content, tokens_for(before))
    opened = {"role": "assistant", "content": f"{fence}{language}\n"}
    return request | sample.settings | {
        "messages": [*_messages(request), opened],
        "add_generation_prompt": False,
        "continue_final_message": True,
        "stop": [f"\n{fence}"],
    }  # fmt: skip


def tokens_for(before: str) -> int:
    """Return how long an answer may be: the old text, twice, and some: 3 characters a token."""
    return min(4096, 512 + 2 * len(before) // 3)


def _base(system: str, content: str, tokens: int) -> Message:
    return {
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": content},
        ],
        "max_completion_tokens": tokens,
        "temperature": 0,
        "seed": 7,
        "chat_template_kwargs": {"enable_thinking": False},
        "repetition_detection": REPEATS,
    }


def _messages(request: Message) -> list[object]:
    found = request["messages"]
    assert isinstance(found, list)
    return found


def _with(content: str, problem: str) -> str:
    return f"{content}\n\n{prompts.fill('small/problem', problem=problem)}" if problem else content


def _fence(text: str) -> str:
    """Return a fence that the text does not hold itself."""
    fence = "```"
    while fence in text:
        fence += "`"
    return fence


def _line(file: SourceFile) -> str:
    names = f": {', '.join(file.symbols[:12])}" if file.symbols else ""
    return f"- {file.path}{names}"


def _tool(name: str, description: str, properties: Message) -> Message:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    function = {
        "name": name,
        "description": description,
        "strict": True,
        "parameters": parameters,
    }
    return {"type": "function", "function": function}
