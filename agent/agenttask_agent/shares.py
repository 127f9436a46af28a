"""What of the window and the time is one part's: for a result, and for the work itself."""

from agenttask_agent.tools.toolbox import MAX_OUTPUT_CHARACTERS

CHARACTERS_PER_TOKEN = 3
WINDOW_SHARE = 0.1
MIN_OUTPUT_CHARACTERS = 2000


def output_size(window: int | None) -> int:
    """Return the characters of one result that the model is shown: a tenth of its window."""
    if window is None:
        return MAX_OUTPUT_CHARACTERS
    share = int(window * CHARACTERS_PER_TOKEN * WINDOW_SHARE)
    return max(MIN_OUTPUT_CHARACTERS, min(MAX_OUTPUT_CHARACTERS, share))


def working_seconds(run_seconds: int) -> float:
    """Return the time to work: a little less than the courier allows, for handing over."""
    return run_seconds - min(15.0, run_seconds / 10)
