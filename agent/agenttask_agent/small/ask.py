"""The model, asked for code and for choices, within the budget and on the record."""

from collections.abc import Sequence
from dataclasses import dataclass

from agenttask_agent.messages import Message, Reply, assistant, system, user
from agenttask_agent.models.parsing import parse_reply
from agenttask_agent.outcome import ModelRefused
from agenttask_agent.small.formats import Question
from agenttask_agent.workers import Job

MAX_CODE_TOKENS = 1200
MAX_CHOICE_TOKENS = 100
TEMPERATURE = 0.7
REPETITION = {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 8}


@dataclass
class Asker:
    """Counts every request as one reply, also one with several samples."""

    job: Job
    seed: int = 0

    def code(self, question: Question, samples: int = 1) -> list[str]:
        """Return the complete answers; the one of a single sample is the likeliest."""
        body: Message = {
            "messages": [
                system(question.system),
                user(question.user),
                {"role": "assistant", "content": question.prefill},
            ],
            "add_generation_prompt": False,
            "continue_final_message": True,
            "stop": list(question.stop),
            "max_completion_tokens": self._length(question),
            "temperature": 0.0 if samples == 1 else TEMPERATURE,
            "n": samples,
            "repetition_detection": REPETITION,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        if samples > 1:
            self.seed += 1
            body["seed"] = self.seed
        answer = self._send(body, f"asked for code, {samples} samples")
        return [text for text, complete in _choices(answer) if complete]

    def choose(self, task: str, what: str, options: Sequence[str]) -> str:
        """Return one of the options; the first when the model names none of them."""
        schema = {
            "type": "object",
            "properties": {"choice": {"type": "string", "enum": list(options)}},
            "required": ["choice"],
            "additionalProperties": False,
        }
        function = {"name": "choose", "description": what, "strict": True, "parameters": schema}
        body: Message = {
            "messages": [
                system("You choose where a task's change has to be made."),
                user(f"Task: {task.strip()}\n\n{what}: {', '.join(options)}"),
            ],
            "tools": [{"type": "function", "function": function}],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "max_completion_tokens": MAX_CHOICE_TOKENS,
            "temperature": 0.0,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        answer = self._send(body, what)
        calls = parse_reply(answer, ["choose"]).calls if answer else ()
        chosen = str(calls[0].arguments.get("choice", "")) if calls else ""
        return chosen if chosen in options else options[0]

    def _length(self, question: Question) -> int:
        window = self.job.capabilities.context_window or 8192
        used = (len(question.user) + len(question.prefill)) // 3 + 100
        return max(64, min(MAX_CODE_TOKENS, window - used))

    def _send(self, body: Message, what: str) -> Message:
        budget, recorder = self.job.budget, self.job.recorder
        budget.before_reply()
        recorder.thought(budget.replies, "decision", what)
        try:
            answer = self.job.model.ask(body)
        except ModelRefused as error:
            if error.status != 400:
                raise
            recorder.thought(budget.replies, "error", str(error))
            budget.count(Reply())
            return {}
        reply = parse_reply(answer, ["choose"])
        budget.count(reply)
        recorder.message(assistant(reply), reply)
        return answer


def _choices(answer: Message) -> list[tuple[str, bool]]:
    """Return each choice's text and whether it came to its end."""
    found = []
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        message = choice.get("message") if isinstance(choice, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str) and content.strip():
            found.append((content, choice.get("finish_reason") == "stop"))
    return found
