"""The span of the clone: told by the courier, so that no collector holds an agent's start back.

Where the clone has failed no courier comes, and it tells its span itself.
"""

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict

from agenttask_api.tracing import ENV_ENDPOINT
from agenttask_courier.places import Places
from agenttask_courier.tracing import NOWHERE, Spans, Times, open_spans

NAME = "agenttask.clone"


def tell_clone(environment: Mapping[str, str], places: Places, times: Times, code: int) -> None:
    """Tell the clone that has ended with an exit code, or leave that to the courier."""
    if not environment.get(ENV_ENDPOINT):
        return
    if code:
        spans = open_spans(environment, places.task_file, times.began)
        spans.tell(NAME, times, {}, f"exit {code}")
        spans.close(f"exit {code}")
        return
    with contextlib.suppress(OSError):  # A volume without room for it ends the run elsewhere.
        places.clone_times.write_text(json.dumps(asdict(times)), encoding="utf-8")


def open_attempt(environment: Mapping[str, str], places: Places) -> Spans:
    """Return where the courier tells the spans of the attempt, with the clone's told already."""
    if not environment.get(ENV_ENDPOINT):
        return NOWHERE
    times = _left(places)
    spans = open_spans(environment, places.task_file, times.began if times else time.time_ns())
    # A courier that is started again tells nothing twice.
    if times and not places.attached_mark.exists():
        spans.tell(NAME, times, {})
    return spans


def _left(places: Places) -> Times | None:
    try:
        return Times(**json.loads(places.clone_times.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
