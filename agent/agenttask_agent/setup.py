"""Runs the task's setup commands before the agent's first step.

A failed one ends the run: an agent that works in a half-prepared workspace wastes
a model on errors that are not the task's.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agenttask_agent.outcome import Stop
from agenttask_agent.tools.process import Finished, run_program
from agenttask_agent.tools.validators import log_output
from agenttask_api.reasons import Reason
from agenttask_api.spec import Command

MAX_SHOWN = 1500
SHOWN_HEAD = 0.2
"""Share of it from the output's beginning: the cause stands at the end."""


def run_setup(steps: Sequence[Command], cwd: Path, env: Mapping[str, str], left: float) -> None:
    """Run the steps in order; raises Stop(SetupFailed) naming the one that failed."""
    for step in steps:
        timeout = max(1.0, min(float(step.timeout_seconds), left))
        try:
            finished = run_program(step.run, cwd=cwd, env=env, timeout=timeout)
        except OSError as error:
            raise _failed(step, f"cannot be started: {error.strerror}") from error
        if finished.exit_code != 0:
            raise _failed(step, _ending(finished))


def _failed(step: Command, how: str) -> Stop:
    return Stop(Reason.SETUP_FAILED, f"setup step {step.name!r} {how}")


def _ending(finished: Finished) -> str:
    how = (
        f"was ended after {finished.seconds:.0f} seconds"
        if finished.exit_code is None
        else f"ended with exit code {finished.exit_code}"
    )
    output = log_output(finished.output.strip(), MAX_SHOWN, SHOWN_HEAD)
    return f"{how}: {output}" if output else how
