"""The adapter: what is retried, what ends the run, and what is asked."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from agenttask_agent import messages
from agenttask_agent.finish import SCHEMA
from agenttask_agent.messages import Message
from agenttask_agent.models.openai import OpenAIModel, Sampling
from agenttask_agent.models.recommended import recommended
from agenttask_agent.models.retry import Retry
from agenttask_agent.outcome import ModelFailed, Stop

GOOD = {
    "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2},
}
USER: list[Message] = [{"role": "user", "content": "x"}]


class Server:
    """Answers in turn; keeps what it was asked and how long the client paused."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []
        self.pauses: list[float] = []
        transport = httpx.MockTransport(self.answer)
        self.client = httpx.Client(transport=transport, base_url="http://model")
        self.model = OpenAIModel(
            self.client,
            Sampling("m", 0.2, None),
            Retry(tries=4, base=1.0, sleep=self.pauses.append, random=lambda: 1.0),
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(
            status, content=json.dumps(body), headers=headers[0] if headers else {}
        )

    def ask(self, **options: Any) -> Any:
        return self.model.reply(USER, [SCHEMA], **{"required": False, **options})


@pytest.fixture
def serve():
    made: list[Server] = []

    def make(*answers: Any) -> Server:
        made.append(Server(*answers))
        return made[-1]

    yield make
    for server in made:
        server.client.close()


Serve = Callable[..., Server]


def error(status: int, message: str = "no", **fields: Any) -> tuple[int, Any]:
    return status, {"error": {"message": message, "code": status, **fields}}


def test_half_a_character_from_the_model_does_not_break_the_next_request(serve: Serve):
    half = json.loads('"\\udc80"')
    call = {"id": half, "function": {"name": half, "arguments": json.dumps({half: [half]})}}
    message = {"content": half, "reasoning": half, "tool_calls": [call]}
    server = serve({"choices": [{"message": message}]}, GOOD)
    history = [*USER, messages.assistant(server.ask())]
    server.model.reply(history, [SCHEMA], required=False)
    assert "\ufffd" in server.requests[1]["messages"][1]["content"]


def test_what_is_asked(serve: Serve):
    server = serve(GOOD)
    reply = server.ask()
    assert (reply.content, reply.input_tokens, reply.output_tokens) == ("hi", 5, 2)
    asked = server.requests[0]
    assert asked["model"] == "m"
    assert asked["temperature"] == 0.2
    assert asked["tool_choice"] == "auto"
    assert asked["max_completion_tokens"] == 4096
    assert asked["tools"][0]["function"]["strict"] is True
    assert "stream" not in asked
    server.ask(required=True)
    assert server.requests[1]["tool_choice"] == "required"


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_retried_statuses(serve: Serve, status: int):
    server = serve(error(status), error(status), GOOD)
    assert server.ask().content == "hi"
    assert server.pauses == [1.0, 2.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422])
def test_statuses_that_are_never_retried(serve: Serve, status: int):
    server = serve(error(status))
    with pytest.raises(ModelFailed):
        server.ask()
    assert (len(server.requests), server.model.unreachable) == (1, False)


@pytest.mark.parametrize(
    ("answer", "unreachable"),
    [
        (httpx.ConnectError("refused"), True),
        (httpx.ConnectTimeout("slow"), True),
        (error(502), True),
        (error(503), True),
        (httpx.ReadTimeout("slow"), False),
        (httpx.RemoteProtocolError("gone"), False),
        (error(500), False),
        (error(429), False),
        ({"nothing": 1}, False),
    ],
)
def test_giving_up(serve: Serve, answer: Any, unreachable: bool):
    server = serve(answer)
    with pytest.raises(ModelFailed, match="no answer in 4 tries"):
        server.ask()
    assert len(server.requests) == 4
    assert server.pauses == [1.0, 2.0, 4.0]
    assert (server.model.unreachable, server.model.answered) == (unreachable, False)


def test_one_answer_from_a_model_makes_it_reachable(serve: Serve):
    server = serve(error(503), error(500), error(503))
    with pytest.raises(ModelFailed):
        server.ask()
    assert not server.model.unreachable


def test_the_servers_wish_to_wait_is_honoured_within_bounds(serve: Serve):
    server = serve((429, {}, {"retry-after": "7"}), (429, {}, {"retry-after": "9999"}), GOOD)
    server.ask()
    assert server.pauses == [7.0, 30.0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (error(400, "x", param="input_tokens"), "ContextExhausted"),
        (error(403, "x", type="budget_exceeded"), "BudgetExceeded"),
        (error(403, "x", code="budget_exceeded"), "BudgetExceeded"),
        (error(403, "cancelled", type="gate_closed"), "Cancelled"),
        (error(403, "the run's time is over", type="gate_closed"), "DeadlineExceeded"),
        (error(403, "x", type="PermissionDeniedError"), "ModelError"),
        (error(400, "Grammar error"), "ModelError"),
    ],
)
def test_refusals_and_their_reasons(serve: Serve, answer: Any, reason: str):
    with pytest.raises(Stop) as stopped:
        serve(answer).ask()
    assert stopped.value.outcome.reason == reason


def test_a_smaller_reply_is_asked_for_when_the_server_says_so(serve: Serve):
    words = "max_tokens=4096 cannot be greater than max_model_len=2048."
    server = serve(error(400, words, param="max_tokens"), GOOD)
    server.ask()
    assert [r["max_completion_tokens"] for r in server.requests] == [4096, 1024]


def test_a_server_without_a_tool_parser_is_asked_with_required(serve: Serve):
    words = '"auto" tool choice requires --enable-auto-tool-choice'
    server = serve(error(400, words), GOOD, GOOD)
    server.ask()
    server.ask()
    assert [r["tool_choice"] for r in server.requests] == ["auto", "required", "required"]


def test_no_try_is_made_after_the_deadline(serve: Serve):
    server = serve(httpx.ReadTimeout("slow"))
    server.model.seconds_left = lambda: 0.0
    with pytest.raises(Stop) as stopped:
        server.ask()
    assert stopped.value.outcome.reason == "DeadlineExceeded"
    assert "the run's time was over" in stopped.value.outcome.message
    assert (len(server.requests), server.pauses) == (1, [])


@pytest.mark.parametrize(
    ("body", "window"),
    [
        ({"data": [{"id": "m", "max_model_len": 2048}]}, 2048),
        ({"data": [{"id": "other", "max_model_len": 2048}]}, None),
        ({"data": []}, None),
        ({"data": [{}]}, None),
        ([], None),
    ],
)
def test_the_context_window_is_asked_for_and_never_fails(body: Any, window: int | None):
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=body))
    with httpx.Client(transport=transport, base_url="http://model") as client:
        assert OpenAIModel(client, Sampling("m")).context_window() == window


def test_a_reply_that_was_all_thinking_is_not_asked_for_again(serve: Any):
    thought = {"content": None, "reasoning": "Okay, the user wants"}
    server = serve({"choices": [{"message": thought, "finish_reason": "length"}]}, GOOD)
    server.ask()
    server.ask()
    first, second = server.requests
    assert "chat_template_kwargs" not in first
    assert second["chat_template_kwargs"] == {"enable_thinking": False}


def test_another_variation_has_another_seed_and_is_warmer(serve: Any):
    server = serve(GOOD)
    for variation in (0, 1, 2, 40):
        server.ask(variation=variation)
    asked = [(r.get("seed"), r["temperature"]) for r in server.requests]
    assert asked == [(None, 0.2), (1, 0.4), (2, 0.5), (40, 1.0)]


def test_a_request_of_one_s_own_has_the_model_s_name_and_bounds(serve: Any):
    server = serve(GOOD)
    body = server.model.ask({"messages": USER, "max_completion_tokens": 5})
    assert body == GOOD
    sent = {"model": "m", "temperature": 0.2, "max_completion_tokens": 5, "messages": USER}
    assert server.requests == [sent]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", (0.7, 0.8, 20, 1.05)),
        ("qwen/qwen3-235b-a22b-instruct-2507", (0.7, 0.8, 20, None)),
        ("Qwen/Qwen3-32B", (0.6, 0.95, 20, None)),
        ("mistralai/Devstral-Small-2507", (0.15, None, None, None)),
        ("org/a-model-nobody-knows", (None, None, None, None)),
    ],
)
def test_a_turn_is_sampled_as_the_models_makers_say(serve, name: str, expected: tuple[Any, ...]):
    server = serve(GOOD)
    server.model.sampling = Sampling(name)
    server.model.usual = recommended(name)
    server.ask()
    asked = server.requests[0]
    keys = ("temperature", "top_p", "top_k", "repetition_penalty")
    assert tuple(asked.get(key) for key in keys) == expected


def test_what_class_or_task_says_goes_before_the_makers_words(serve):
    server = serve(GOOD)
    server.model.usual = recommended("qwen3-coder")
    server.ask()
    server.ask(variation=1)
    server.model.ask({"messages": USER})
    assert [r["temperature"] for r in server.requests] == [0.2, 0.4, 0.2]
    assert ["top_k" in r for r in server.requests] == [True, True, False]
