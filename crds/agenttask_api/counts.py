"""How many tests passed, failed and were skipped."""

from agenttask_api.schema import OpenAPIModel


class TestCounts(OpenAPIModel):
    """From JUnit XML of the verification, never from prose."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
