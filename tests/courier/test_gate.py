"""The model gate against a peer that answers, fails and breaks off like a real one."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.courier.conftest import MakeDocument
from tests.courier.pod import eventually
from tests.servers.vllm import DROP, MODEL, VLLM, vllm_server

from agenttask_courier import upstream
from agenttask_courier.errors import Refused
from agenttask_courier.gate import Gate, prepare_chat, written
from agenttask_courier.places import Places
from agenttask_courier.upstream import Upstream

ASK: dict[str, object] = {"model": "gpt-9", "messages": [{"role": "user", "content": "hi"}]}
MakeGate = Callable[..., Gate]


@pytest.fixture
async def make_gate(
    places: Places, vllm: VLLM, make_unreachable: MakeDocument
) -> AsyncIterator[MakeGate]:
    client = Upstream(vllm.url)
    yield lambda **document: Gate(make_unreachable(**document), client, places.model_key)
    await client.aclose()


async def test_gate_sets_model_and_key_and_passes_the_rest(
    places: Places, vllm: VLLM, make_gate: MakeGate
):
    places.model_key.write_text("sk-model-key\n", encoding="utf-8")
    answer = await make_gate().chat({**ASK, "temperature": 0.3, "seed": 7})
    assert json.loads(answer.body)["choices"]
    call = vllm.calls[0]
    assert call.path == "/v1/chat/completions"
    assert call.authorization == "Bearer sk-model-key"
    assert call.body == {**ASK, "model": MODEL, "temperature": 0.3, "seed": 7}


async def test_gate_sends_no_key_when_there_is_none(vllm: VLLM, make_gate: MakeGate):
    await make_gate().chat(ASK)
    assert vllm.calls[0].authorization == ""


async def test_gate_counts_usage_from_answers(make_gate: MakeGate):
    gate = make_gate()
    assert gate.first_call == ""
    await gate.chat(ASK)
    await gate.chat(ASK)
    assert gate.first_call
    assert gate.usage.model_calls == 2
    assert (gate.usage.input_tokens, gate.usage.output_tokens) == (20, 10)


@pytest.mark.parametrize(("spent", "allowed"), [(999, True), (1000, False), (1001, False)])
async def test_budget_is_checked_before_each_call(
    vllm: VLLM, make_gate: MakeGate, spent: int, allowed: bool
):
    gate = make_gate(constraints={"maxModelTokens": 1000})
    vllm.prompt_tokens, vllm.completion_tokens = spent, 0
    await gate.chat(ASK)
    if allowed:
        await gate.chat({**ASK, "max_tokens": 500})
        assert vllm.calls[1].body["max_tokens"] == 1
    else:
        with pytest.raises(Refused) as refused:
            await gate.chat(ASK)
        assert (refused.value.status, refused.value.kind) == (403, "budget_exceeded")
        assert len(vllm.calls) == 1


async def test_calls_at_once_overshoot_the_budget_by_one_at_most(vllm: VLLM, make_gate: MakeGate):
    gate = make_gate(constraints={"maxModelTokens": 1000})
    vllm.prompt_tokens = 700
    answers = await asyncio.gather(*(gate.chat(ASK) for _ in range(5)), return_exceptions=True)
    assert len(vllm.calls) == 2
    assert sum(isinstance(answer, Refused) for answer in answers) == 3


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        pytest.param({"max_tokens": 5000}, {"max_tokens": 100}, id="capped"),
        pytest.param({"max_tokens": 50}, {"max_tokens": 50}, id="smaller stays"),
        pytest.param(
            {"max_completion_tokens": 5000}, {"max_completion_tokens": 100}, id="newer name"
        ),
        pytest.param({}, {"max_tokens": 100}, id="set when not asked"),
        pytest.param({"max_tokens": None}, {"max_tokens": 100}, id="null is not asked"),
    ],
)
def test_length_is_capped(
    make_unreachable: MakeDocument, body: dict[str, object], tokens: dict[str, int]
):
    document = make_unreachable(model={"name": MODEL, "maxTokens": 100})
    request = prepare_chat({**ASK, **body}, document, 1000)
    assert {k: v for k, v in request.items() if "tokens" in k} == tokens


def test_length_is_left_to_the_server_when_the_task_has_no_bound(make_unreachable: MakeDocument):
    assert "max_tokens" not in prepare_chat(ASK, make_unreachable(), 1000)


@pytest.mark.parametrize(
    "body",
    [
        {"stream": True},
        {"stream": "true"},
        {"stream": 1},
        {"n": 9},
        {"n": 0},
        {"n": True},
        {"max_tokens": "many"},
        {"max_tokens": 0},
        {"messages": "hi"},
        {"messages": [{"content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}]},
        {"messages": [{"content": ["hi"]}]},
    ],
    ids=str,
)
def test_refused_requests(make_unreachable: MakeDocument, body: dict[str, object]):
    with pytest.raises(Refused) as refused:
        prepare_chat({**ASK, **body}, make_unreachable(), 1000)
    assert refused.value.status == 400


def test_what_constrains_a_reply_is_passed_on(make_unreachable: MakeDocument):
    """The start-up probe, plans and the questions for small models depend on it."""
    schema: dict[str, object] = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    asked: dict[str, object] = {
        "response_format": schema,
        "structured_outputs": {"choice": ["a", "b"]},
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "chat_template_kwargs": {"enable_thinking": False},
        "repetition_detection": {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 4},
        "add_generation_prompt": False,
        "continue_final_message": True,
        "stop": ["```"],
        "seed": 7,
        "temperature": 0,
    }
    request = prepare_chat({**ASK, **asked}, make_unreachable(), 1000)
    assert {key: request[key] for key in asked} == asked


def test_n_up_to_eight_shares_the_budget(make_unreachable: MakeDocument):
    request = prepare_chat({**ASK, "n": 8, "max_tokens": 999}, make_unreachable(), 800)
    assert request["max_tokens"] == 100


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@given(body=JSON)
def test_what_is_written_is_read_alike_by_another_parser(body: object):
    assert json.loads(written(body)) == body


def test_text_is_written_as_it_is_and_not_escaped():
    """Half the time for a long conversation, and fewer bytes."""
    assert written({"content": '\u20ac "\n\x00'}) == b'{"content":"\xe2\x82\xac \\"\\n\\u0000"}'


async def test_upstream_error_is_relayed(vllm: VLLM, make_gate: MakeGate):
    vllm.faults.append((500, b'{"error":{"message":"dead","type":"InternalServerError"}}'))
    answer = await make_gate().chat(ASK)
    assert answer.status == 500
    assert b"dead" in answer.body


async def test_garbage_is_relayed_and_still_counts(vllm: VLLM, make_gate: MakeGate):
    gate = make_gate()
    vllm.faults.append((200, b"\xff\x00 not json " * 100))
    answer = await gate.chat(ASK)
    assert (answer.status, answer.body[:2]) == (200, b"\xff\x00")
    assert gate.usage.output_tokens > 100


async def test_broken_connection_is_unreachable(vllm: VLLM, make_gate: MakeGate):
    vllm.faults.extend([DROP])
    with pytest.raises(Refused) as refused:
        await make_gate().chat(ASK)
    assert (refused.value.status, refused.value.kind) == (502, "upstream_unreachable")


async def test_nobody_there_is_unreachable(make_unreachable: MakeDocument, places: Places):
    client = Upstream("http://127.0.0.1:9")
    with pytest.raises(Refused) as refused:
        await Gate(make_unreachable(), client, places.model_key).chat(ASK)
    await client.aclose()
    assert refused.value.kind == "upstream_unreachable"


async def test_a_redirection_is_passed_on_and_not_followed(
    places: Places, vllm: VLLM, make_gate: MakeGate
):
    """Wherever it leads to, the key is not for it."""
    places.model_key.write_text("sk-model-key\n", encoding="utf-8")
    with vllm_server() as elsewhere:
        vllm.redirect_to = elsewhere.url
        answer = await make_gate().chat(ASK)
        assert (answer.status, elsewhere.calls) == (307, [])


async def test_more_than_anybody_answers_is_refused(
    vllm: VLLM, make_gate: MakeGate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upstream, "MAX_MODEL_RESPONSE_BYTES", 100_000)
    vllm.faults.append((200, b"x" * 100_001))
    with pytest.raises(Refused) as refused:
        await make_gate().chat(ASK)
    assert (refused.value.status, refused.value.kind) == (502, "upstream_too_large")


async def test_closing_breaks_off_the_call_under_way(vllm: VLLM, make_gate: MakeGate):
    gate = make_gate()
    vllm.hold = threading.Event()
    call = asyncio.create_task(gate.chat(ASK))
    await eventually(lambda: bool(vllm.calls))
    gate.close("cancelled")
    with pytest.raises(Refused) as refused:
        await call
    assert (refused.value.status, refused.value.kind) == (403, "gate_closed")


async def test_a_call_that_the_agent_walks_away_from_is_counted(vllm: VLLM, make_gate: MakeGate):
    gate = make_gate()
    vllm.hold = threading.Event()
    call = asyncio.create_task(gate.chat({"messages": [{"role": "user", "content": "x" * 4000}]}))
    await eventually(lambda: bool(vllm.calls))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert gate.usage.input_tokens > 1000


async def test_only_the_task_model_is_listed(make_gate: MakeGate):
    listed = await make_gate().models()
    assert listed["data"] == [{"id": MODEL, "object": "model", "max_model_len": 4096}]


async def test_tokenize_is_passed_on_without_cost(vllm: VLLM, make_gate: MakeGate):
    gate = make_gate()
    answer = await gate.tokenize({"prompt": "hello"})
    assert json.loads(answer.body)["count"] == 3
    assert vllm.calls[0].body["model"] == MODEL
    assert gate.usage.total_tokens == 0
