"""A model with random weights, through the whole agent: always an honest end, never a crash."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.vllm.conftest import Served
from tests.vllm.local import Ran, run_here

from agenttask_api.reasons import MEANINGS, Kind, Reason

RUNS = int(os.environ.get("AGENTTASK_VLLM_RUNS", "100"))
AT_ONCE = 4
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("Large", {}),
    ("Large", {"mode": "Plan"}),
    ("Large", {"mode": "Plan", "onError": "Skip"}),
    ("Small", {}),
    ("Large", {"mode": "Plan", "onError": "Retry"}),
]
CRASHES = {Reason.INTERNAL_ERROR, Reason.NO_RESULT, Reason.RUN_INTERRUPTED, Reason.MODEL_ERROR}
"""Ends that a model which answers, whatever it says, must never bring about."""


def one(served: Served, folder: Path, number: int) -> Ran:
    profile, constraints = WAYS[number % len(WAYS)]
    folder.mkdir()
    limits = {"maxIterations": 4 + number % 3, "maxOperations": 20}
    model = {"temperature": 0.2 + 0.2 * (number % 7), "maxTokens": 160}
    prompt = f'Task {number}: add hello_world() to utils.py. It returns "Hello, World!".'
    spec = {"prompt": prompt, "model": model, "constraints": limits | constraints}
    return run_here(served, folder, profile, **spec)


@pytest.mark.timeout(5400)
def test_noise_never_crashes_the_agent_and_never_succeeds(noise: Served, tmp_path: Path) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ran = list(pool.map(lambda n: one(noise, tmp_path / str(n), n), range(RUNS)))
    assert len(ran) == RUNS
    reasons = [Reason(r.result["stop_reason"]) for r in ran]
    for number, (run, reason) in enumerate(zip(ran, reasons, strict=True)):
        told = f"run {number}: {reason}: {run.result['message']}\n{run.log[-2000:]}"
        assert run.code == 1, told
        assert run.result["success"] is False, told
        assert MEANINGS[reason].kind is Kind.TERMINAL, told
        assert reason not in CRASHES, told
        assert run.result["message"], told
        assert "Traceback" not in run.log, told
    # Noise that was stopped before it came through proves nothing.
    assert sum(r.result["usage"]["output_tokens"] > 0 for r in ran) == RUNS
    print({reason.value: reasons.count(reason) for reason in sorted(set(reasons))})
