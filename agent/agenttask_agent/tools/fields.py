"""Types of arguments that several operations share, with their bounds."""

from typing import Annotated

from pydantic import Field

MAX_TEXT = 1_000_000

Path = Annotated[
    str,
    Field(min_length=1, max_length=1024, description="Path relative to the repository root."),
]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Line = Annotated[int, Field(ge=1, le=10_000_000)]
