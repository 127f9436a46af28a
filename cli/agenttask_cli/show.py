"""Run a task and show it: live on a terminal, line by line elsewhere, JSON when asked."""

import sys
from pathlib import Path

from agenttask_api.status import Phase
from agenttask_cli.errors import EX_FAILED, EX_INTERRUPTED, EX_SUCCEEDED
from agenttask_cli.outputs import output_folder
from agenttask_cli.run import Asked, Finished, plan_run, run_task
from agenttask_cli.story import Story
from agenttask_cli.view import make_view

_CODES = {Phase.SUCCEEDED: EX_SUCCEEDED, Phase.CANCELLED: EX_INTERRUPTED}


def run_and_show(asked: Asked, as_json: bool) -> int:
    """Run it and return the exit code; raises BadInput and OSError."""
    plan = plan_run(asked)
    folder = output_folder(asked.output, plan.task.name, Path.cwd())
    stream = sys.stderr if as_json else sys.stdout
    story = Story()
    with make_view(plan, story, stream) as view:
        for note in plan.notes:
            story.note(note)
        finished = run_task(plan, story, folder)
        view.ended(finished)
    if as_json:
        sys.stdout.write(finished.left.payload.decode() + "\n")
    return exit_code(finished)


def exit_code(finished: Finished) -> int:
    """Return the exit code that tells the outcome."""
    return _CODES.get(finished.account.outcome.phase, EX_FAILED)
