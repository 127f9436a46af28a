"""Tells a run that goes in circles from one that makes progress.

| what repeats | advice | then |
|---|---|---|
| a call with the same full result | at 3 | not executed at 4, the end at 5 |
| two calls in turn, whatever their results | at 3 pairs | the end at 4 pairs |
| one error, whatever the calls | at 3 in a row | the end at 5 |
| operations without an edit, where one is wanted | at every 10 | |

An edit that does something new is progress and forgets the calls that came before it.
"""

import hashlib
import json
import re
from collections import Counter, deque
from dataclasses import dataclass, field

from agenttask_agent.messages import ToolCall
from agenttask_agent.results import ToolResult

NUDGE_AT = 3
BLOCK_AT = 4
STOP_AT = 5
PAIRS_NUDGE, PAIRS_STOP = 3, 4
IDLE = 10
"""Operations without an edit after which the model is reminded."""
DURATION = re.compile(r"\b\d+\.\d+ ?(s|ms|seconds)\b")
"""Test runners print how long they took; that alone is no progress."""


@dataclass(frozen=True)
class Verdict:
    """`advice` names the prompt that the model is shown; `stop` says why the run ends."""

    advice: str = ""
    stop: str = ""


FINE = Verdict()


@dataclass
class LoopGuard:
    """Follows the calls of one run."""

    expects_edits: bool = True
    """Whether a run that only looks makes no progress."""
    seen: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    """How often a call had its latest result, as `seen` had it."""
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=2 * PAIRS_STOP))
    error: str = ""
    errors: int = 0
    idle: int = 0

    def before(self, call: ToolCall) -> Verdict:
        """Judge a call that is about to be executed; with advice it must not be."""
        key = _call_key(call)
        count = self.repeated[key] + 1
        if count < BLOCK_AT:
            return FINE
        self.repeated[key] = count
        if count >= STOP_AT:
            return Verdict(stop=f"{call.name} had the same result {BLOCK_AT - 1} times")
        return Verdict(advice="blocked")

    def after(self, call: ToolCall, result: ToolResult) -> Verdict:
        """Judge an executed call by its result."""
        verdicts = (
            self._same_result(call, result),
            self._alternation(call),
            self._same_error(result),
            self._idleness(result),
        )
        stop = next((v for v in verdicts if v.stop), None)
        return stop or next((v for v in verdicts if v.advice), FINE)

    def _same_result(self, call: ToolCall, result: ToolResult) -> Verdict:
        key = _fingerprint(call, result)
        if result.edited and key not in self.seen:
            self.seen.clear()
            self.repeated.clear()
        self.seen[key] += 1
        self.repeated[_call_key(call)] = self.seen[key]
        return Verdict(advice="repeat") if self.seen[key] >= NUDGE_AT else FINE

    def _alternation(self, call: ToolCall) -> Verdict:
        self.recent.append(_call_key(call))
        if _pairs(self.recent, PAIRS_STOP):
            return Verdict(stop=f"the same two calls came {PAIRS_STOP} times in turn")
        return Verdict(advice="alternating") if _pairs(self.recent, PAIRS_NUDGE) else FINE

    def _same_error(self, result: ToolResult) -> Verdict:
        error = "" if result.ok else DURATION.sub("", result.error or "")
        self.errors = self.errors + 1 if error and error == self.error else int(bool(error))
        self.error = error
        if self.errors >= STOP_AT:
            return Verdict(stop=f"the same error came {self.errors} times in a row: {error[:200]}")
        return Verdict(advice="same_error") if self.errors >= NUDGE_AT else FINE

    def _idleness(self, result: ToolResult) -> Verdict:
        self.idle = 0 if result.edited else self.idle + 1
        due = self.expects_edits and self.idle > 0 and self.idle % IDLE == 0
        return Verdict(advice="no_progress") if due else FINE


def _pairs(recent: deque[str], count: int) -> bool:
    """Say whether the last calls are `count` times the same two, one after the other."""
    last = list(recent)[-2 * count :]
    return len(last) == 2 * count and last[0] != last[1] and last == last[:2] * count


def _call_key(call: ToolCall) -> str:
    return _hash(f"{call.name}\n{json.dumps(call.arguments, sort_keys=True)}")


def _fingerprint(call: ToolCall, result: ToolResult) -> str:
    text = DURATION.sub("", f"{result.ok}\n{result.error}\n{result.output}")
    return _hash(f"{_call_key(call)}\n{text}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
