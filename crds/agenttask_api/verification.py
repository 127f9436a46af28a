"""What the checks said of one commit, as the verifier ran them and the courier read them."""

from agenttask_api.schema import OpenAPIModel
from agenttask_api.status import TestCounts


class StepResult(OpenAPIModel):
    """One setup or verify command on the clean checkout."""

    name: str
    exit_code: int | None = None
    """None when it was killed at its timeout or could not be started."""
    timed_out: bool = False
    duration_seconds: float = 0
    output: str = ""
    """Head and tail of stdout and stderr together."""


class Verification(OpenAPIModel):
    """What the checks found on exactly the commit that would be pushed."""

    passed: bool
    steps: tuple[StepResult, ...] = ()
    tests: TestCounts | None = None
    coverage: float | None = None
    """Percent of lines that the tests covered, as the project's own tool says; None = unsaid."""
    protected_touched: tuple[str, ...] = ()
    """Protected paths that the candidate had changed; the base's were used."""
    known_failures: tuple[str, ...] = ()
    """Tests that fail on the base commit, too, as `classname::name`; at most 50."""
    new_failures: tuple[str, ...] = ()
    """What fails here and not on the base; empty when the base was not asked. At most 50."""
    message: str = ""
