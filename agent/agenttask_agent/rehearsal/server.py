"""The HTTP server of a rehearsal: vLLM's endpoints, answered from scripts.

Stateless but for one counter of faults by conversation and turn: everything else is
derived from the request.
"""

import asyncio
import hashlib
import hmac
import json
import re
import signal
from collections import Counter
from collections.abc import Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from agenttask_agent.rehearsal import answers
from agenttask_agent.rehearsal.answers import BUSY, Body, Refused
from agenttask_agent.rehearsal.constraints import forced_reply
from agenttask_agent.rehearsal.placeholders import Unfilled
from agenttask_agent.rehearsal.script import Conversation, Fault, Reply, Script

VERSION = "0.32.0"
HEADER = "x-agenttask-rehearsal"
MAX_REQUEST_BYTES = 16 * 1024 * 1024
METRICS = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0\n"


class Stage:
    """Finds the reply to a request among all scripts."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        self.scripts = tuple(scripts)
        self._faults: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The scripts' names, as the header carries them."""
        names = ",".join(script.name or "script" for script in self.scripts)
        return re.sub(r"[^\x21-\x7e]", "_", names)

    def models(self) -> dict[str, int]:
        """Return every model's name with its context length."""
        return {script.model: script.max_model_len for script in self.scripts}

    def find(self, request: Body) -> tuple[Reply, Fault | None, list[Body]]:
        """Return the reply, the fault that is due, and the messages; raises Refused."""
        messages = checked_messages(request, self.models())
        forced = self._forced(request)
        if forced:
            return forced, None, messages
        script, conversation = self._conversation(str(request.get("model")), messages)
        turn = sum(m.get("role") == "assistant" for m in messages) - is_prefilled(request)
        if turn >= len(conversation.replies):
            raise Refused(
                400,
                f"rehearsal {script.name!r} has no reply number {turn + 1} to this conversation",
            )
        reply = conversation.replies[turn]
        return reply, self._due(reply.fault, messages), messages

    def _forced(self, request: Body) -> Reply | None:
        script = next(s for s in self.scripts if s.model == request.get("model"))
        return forced_reply(request, script)

    def _conversation(self, model: str, messages: list[Body]) -> tuple[Script, Conversation]:
        prompt = next((text_of(m) for m in messages if m.get("role") == "user"), "")
        ours = [(s, c) for s in self.scripts if s.model == model for c in s.conversations]
        for script, conversation in ours:
            if conversation.matches(prompt):
                return script, conversation
        patterns = ", ".join(repr(conversation.match) for _, conversation in ours)
        raise Refused(400, f"no rehearsed conversation matches; there are {patterns}")

    def _due(self, fault: Fault | None, messages: list[Body]) -> Fault | None:
        if fault is None:
            return None
        key = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()
        self._faults[key] += 1
        return fault if self._faults[key] <= fault.times else None


STAGE = web.AppKey("stage", Stage)


def checked_messages(request: Body, models: dict[str, int]) -> list[Body]:
    """Return the messages of a good request; raises Refused as vLLM would."""
    model = request.get("model")
    if model not in models:
        raise Refused(404, f"The model `{model}` does not exist.", "model")
    messages = request.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise Refused(400, "messages: Input should be a valid list of messages", "messages")
    if not messages:
        raise Refused(400, "messages: at least one message is required", "messages")
    _check_prefill(request)
    _check_tools(request)
    _check_lengths(request, models[str(model)])
    return messages


def is_prefilled(request: Body) -> bool:
    """Say whether the last message is the beginning of the reply that is asked for."""
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    continued = request.get("continue_final_message") is True
    return continued and isinstance(last, dict) and last.get("role") == "assistant"


def text_of(message: Body) -> str:
    """Return a message's text, also when it comes in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _check_prefill(request: Body) -> None:
    both = request.get("continue_final_message") and request.get("add_generation_prompt", True)
    if both:
        raise Refused(
            400,
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
            type="Bad Request",
        )


def _check_tools(request: Body) -> None:
    tools = request.get("tools")
    if request.get("stream"):
        raise Refused(400, "a rehearsal does not stream", "stream")
    if tools == []:
        raise Refused(400, "tools: List should have at least 1 item", "tools")
    if request.get("tool_choice") not in (None, "none") and not tools:
        raise Refused(400, "When using `tool_choice`, `tools` must be set.", "tool_choice")


def _check_lengths(request: Body, longest: int) -> None:
    asked = request.get("max_completion_tokens") or request.get("max_tokens")
    if isinstance(asked, int) and asked > longest:
        raise Refused(
            400,
            f"max_tokens={asked} cannot be greater than max_model_len={longest}."
            " Please request fewer output tokens.",
            "max_tokens",
        )
    length = answers.prompt_tokens(request)
    if length > longest:
        raise Refused(
            400,
            f"This model's maximum context length is {longest} tokens. However, your prompt"
            f" contains at least {length} input tokens, which exceeds this limit even without"
            " any output tokens. Please reduce the length of the input prompt."
            f" (parameter=input_tokens, value={length})",
            "input_tokens",
        )


def make_app(
    scripts: Sequence[Script], key: str = "", on_request: Callable[[str], None] | None = None
) -> web.Application:
    """Return the server as an application, not yet listening.

    A key is then demanded; `on_request` is told of each request, `POST /v1/...`, as it comes.
    """
    stage = Stage(scripts)
    guards = [*([_told_to(on_request)] if on_request else []), _vllm_manners(stage.name)]
    guards += [_key_demanded(key)] if key else []
    app = web.Application(middlewares=guards, client_max_size=MAX_REQUEST_BYTES)
    app[STAGE] = stage
    app.add_routes(
        [
            web.get("/health", _health),
            web.get("/ping", _health),
            web.get("/version", _version),
            web.get("/metrics", _metrics),
            web.get("/v1/models", _models),
            web.post("/v1/chat/completions", _chat),
            web.post("/tokenize", _tokenize),
        ]
    )
    return app


async def _chat(request: web.Request) -> web.StreamResponse:
    body = await _json(request)
    reply, fault, messages = request.app[STAGE].find(body)
    spoilt = await _spoil(request, fault) if fault else None
    if spoilt is not None:
        return spoilt
    truncate = bool(fault and fault.truncate)
    return web.json_response(answers.completion(reply, body, messages, truncate))


async def _models(request: web.Request) -> web.StreamResponse:
    return web.json_response(answers.model_list(request.app[STAGE].models()))


async def _tokenize(request: web.Request) -> web.StreamResponse:
    body = await _json(request)
    models = request.app[STAGE].models()
    longest = models.get(str(body.get("model"))) or min(models.values())
    prompt = body.get("prompt")
    count = answers.count_tokens(prompt) if prompt else answers.prompt_tokens(body)
    return web.json_response(answers.tokenized(count, longest))


async def _health(_: web.Request) -> web.StreamResponse:
    return web.Response()


async def _version(_: web.Request) -> web.StreamResponse:
    return web.json_response({"version": VERSION})


async def _metrics(_: web.Request) -> web.StreamResponse:
    return web.Response(text=METRICS)


def serve(app: web.Application, host: str, port: int) -> None:
    """Listen until interrupted; the address is printed once it is open."""
    asyncio.run(_serve(app, host, port))


async def _serve(app: web.Application, host: str, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0]
        names = ", ".join(script.name for script in app[STAGE].scripts)
        print(f"rehearsing {names} on http://{bound[0]}:{bound[1]}", flush=True)  # noqa: T201
        await ended.wait()
    finally:
        await runner.cleanup()


def _told_to(on_request: Callable[[str], None]) -> Middleware:
    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        on_request(f"{request.method} {request.path}")
        return await handler(request)

    return tell


def _vllm_manners(name: str) -> Middleware:
    """Answer errors in vLLM's two shapes, and say on everything that it is rehearsed."""

    @web.middleware
    async def manners(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except Refused as refused:
            response = web.json_response(refused.body(), status=refused.status)
        except Unfilled as error:
            response = web.json_response(Refused(400, f"rehearsal: {error}").body(), status=400)
        except web.HTTPException as error:
            response = web.json_response({"detail": error.reason}, status=error.status)
        response.headers[HEADER] = name
        return response

    return manners


def _key_demanded(key: str) -> Middleware:
    """Refuse what lies below /v1 without the key, as vLLM with VLLM_API_KEY does."""
    expected = f"Bearer {key}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path.startswith("/v1") and not hmac.compare_digest(given, expected):
            return web.json_response({"error": "Unauthorized"}, status=401)
        return await handler(request)

    return guard


async def _json(request: web.Request) -> Body:
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise Refused(400, f"JSON decode error: {error}", type="Bad Request") from error
    if not isinstance(body, dict):
        raise Refused(400, "Input should be a valid dictionary", type="Bad Request")
    return body


async def _spoil(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Return the spoilt answer, or None when the scripted one is to be sent."""
    if fault.delay_seconds:
        await asyncio.sleep(fault.delay_seconds)
    if fault.drop and request.transport:
        request.transport.close()
        return web.Response()
    if fault.garbage:
        return web.Response(text='{"id": "chatcmpl-', content_type="application/json")
    if fault.status:
        default = BUSY if fault.status == 503 else "Internal server error"
        refused = Refused(fault.status, fault.message or default, type=fault.type)
        return web.json_response(refused.body(), status=fault.status)
    return None
