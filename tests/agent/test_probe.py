"""What the start-up probe asks, finds out and decides, against the rehearsed server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.agent.conftest import FINISH, MODEL, MakePod, script_of
from tests.agent.door import serving
from tests.agent.projects import git

from agenttask_agent.limits import Budget, Limits
from agenttask_agent.models.openai import OpenAIModel, Sampling
from agenttask_agent.models.probe import billions, choose_profile, probe
from agenttask_agent.models.probecache import MAX_AGE, ProbeCache
from agenttask_agent.models.retry import Retry
from agenttask_agent.outcome import ModelFailed
from agenttask_agent.rehearsal.server import make_app
from agenttask_api.agentclass import Profile
from agenttask_api.result import Capabilities

ABLE = Capabilities(model="m", structured_output=True, required_calls=True)


def found_at(url: str, budget: Budget | None = None) -> Capabilities:
    budget = budget or Budget(Limits(1, 1, 10_000))
    with httpx.Client(base_url=url, trust_env=False) as client:
        model = OpenAIModel(client, Sampling(MODEL), Retry(tries=1))
        return probe(model, MODEL, None, budget.count_probe)


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("calls", [True, False])
def test_what_the_server_can_do_is_found_out(structured: bool, calls: bool):
    server = {"structured_output": structured, "required_calls": calls, "max_model_len": 9000}
    script = script_of(*FINISH).model_copy(update=server)
    budget = Budget(Limits(1, 1, 10_000))
    with serving(make_app([script])) as url:
        found = found_at(url, budget)
    assert found == Capabilities(
        model=MODEL, context_window=9000, structured_output=structured, required_calls=calls
    )
    assert (budget.probes, budget.replies) == (2, 0)
    assert 0 < budget.tokens < 400, "a probe is cheap"


class Refusing:
    """A server that answers every chat request with one status."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": MODEL, "max_model_len": 40960}]})
        self.asked += 1
        return httpx.Response(self.status, json={"error": {"message": "no", "code": self.status}})


def asked_of(handler: Callable[[httpx.Request], httpx.Response]) -> Capabilities:
    with httpx.Client(base_url="http://x", transport=httpx.MockTransport(handler)) as client:
        model = OpenAIModel(client, Sampling(MODEL), Retry(tries=2, sleep=lambda _: None))
        return probe(model, MODEL, None, lambda _: None)


def test_a_server_that_refuses_the_questions_can_do_neither():
    refusing = Refusing(400)
    found = asked_of(refusing)
    assert (found.structured_output, found.required_calls) == (False, False)
    assert refusing.asked == 2, "what was refused is not asked again"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_us_ends_the_run(status: int):
    refusing = Refusing(status)
    with pytest.raises(ModelFailed, match=str(status)):
        asked_of(refusing)
    assert refusing.asked == 1


def test_a_model_that_thinks_unasked_is_seen():
    def thinking(request: httpx.Request) -> httpx.Response:
        message = {"role": "assistant", "content": None, "reasoning": "Okay, the user says ok"}
        choice = {"index": 0, "message": message, "finish_reason": "length"}
        return httpx.Response(200, json={"choices": [choice]})

    found = asked_of(thinking)
    assert found == Capabilities(model=MODEL, thinking=True)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen3-0.6B", 0.6),
        ("Qwen/Qwen2.5-Coder-7B-Instruct", 7),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", 30),
        ("mistralai/Mixtral-8x7B-v0.1", 56),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 0.135),
        ("deepseek-ai/DeepSeek-V3.1", None),
        ("gemma-3-27b-it", 27),
        ("rehearsal", None),
    ],
)
def test_the_size_is_read_from_the_name(name: str, size: float | None):
    assert billions(name) == size


@pytest.mark.parametrize(
    ("asked", "name", "window", "profile"),
    [
        ("Auto", "x-8B", 32768, "Small"),
        ("Auto", "x-8.1B", 32768, "Large"),
        ("Auto", "x", None, "Large"),
        ("Auto", "x-70B", 15_999, "Small"),
        ("Auto", "x-70B", 16_000, "Large"),
        ("Small", "x-70B", 131072, "Small"),
        ("Large", "x-0.6B", 2048, "Large"),
    ],
)
def test_the_profile_is_the_class_s_or_follows_size_and_window(
    asked: str, name: str, window: int | None, profile: str
):
    capabilities = ABLE.model_copy(update={"model": name, "context_window": window})
    assert choose_profile(asked, capabilities) == Profile(profile)


REST = {"content": ":\n    return 'Hello, World!'\n```\nDone."}


def driven(make_pod: MakePod, *replies: Any, profile: str, **task: Any) -> tuple[Any, Any]:
    pod = make_pod(script_of(*replies), model={"name": MODEL, "profile": profile}, **task)
    _, output = pod.run()
    assert pod.door.report is not None, output
    return pod.door.report, pod


@pytest.mark.parametrize(
    ("profile", "replies", "constraints", "profile_and_way"),
    [
        pytest.param("Large", FINISH, {}, ("Large", "Loop"), id="large"),
        pytest.param("Auto", [REST], {}, ("Small", "Questions"), id="small by its name"),
        pytest.param("Small", FINISH, {"readOnly": True}, ("Small", "Loop"), id="nothing to edit"),
    ],
)
def test_the_result_says_how_the_model_was_driven(
    make_pod: MakePod,
    profile: str,
    replies: Any,
    constraints: Any,
    profile_and_way: tuple[str, str],
):
    report, pod = driven(make_pod, *replies, profile=profile, constraints=constraints)
    assert report.stop_reason == "Completed", report.message
    assert (report.model.profile, report.model.way) == profile_and_way
    assert report.model.capabilities == Capabilities(
        model=MODEL, context_window=32768, structured_output=True, required_calls=True
    )
    assert len(pod.door.probes) == 2


def test_a_small_model_goes_on_in_the_file_and_is_cut_at_the_next_fence(make_pod: MakePod):
    report, pod = driven(make_pod, REST, profile="Small")
    asked = [r for r in pod.door.requests if r.get("continue_final_message")]
    begun = asked[0]["messages"][-1]
    assert begun["role"] == "assistant"
    assert begun["content"].startswith("```python\n")
    assert begun["content"].endswith("\n\n\ndef hello_world()")
    assert git(pod.repo, "show", "HEAD:utils.py").endswith("return 'Hello, World!'")
    assert report.reasoning_log[-1].type == "conclusion"


def test_a_cache_saves_the_questions_until_the_server_says_something_else(tmp_path: Path):
    now = 1000.0
    cache = ProbeCache(tmp_path / "new" / "probe.json", lambda: now)
    asked: list[str] = []

    class Server:
        window = 9000

        def context_window(self) -> int | None:
            return self.window

        def ask(self, request: dict[str, object]) -> dict[str, object]:
            asked.append(str(request))
            return {"choices": [{"message": {"content": '{"a": "x7"}'}}]}

    def found(name: str = MODEL) -> Capabilities:
        return probe(server, name, None, lambda _: None, cache)

    server = Server()
    first = found()
    assert (first.structured_output, len(asked)) == (True, 2)
    assert found() == first
    assert len(asked) == 2, "the second run asks nothing"
    server.window = 4096
    assert found().context_window == 4096
    assert len(asked) == 4, "the server was started otherwise"
    found("another")
    assert len(asked) == 6, "another model is another answer"
    now += MAX_AGE
    found("another")
    assert len(asked) == 8, "it was long ago"


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"at": "x"}', "\x00" * 9000])
def test_a_cache_that_cannot_be_read_is_none(tmp_path: Path, content: str):
    (tmp_path / "probe.json").write_text(content, encoding="utf-8")
    cache = ProbeCache(tmp_path / "probe.json")
    assert cache.recall(MODEL, None) is None
    cache.keep(ABLE)
    assert cache.recall("m", None) == ABLE
    ProbeCache(Path("/dev/null/x")).keep(ABLE)
