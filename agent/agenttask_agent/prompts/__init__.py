"""The texts the model reads: one Markdown file each, changed without touching code."""

from functools import cache
from importlib.resources import files
from string import Template


@cache
def text(name: str) -> str:
    """Return the prompt file `<name>.md`, without its last line break."""
    return files(__name__).joinpath(f"{name}.md").read_text("utf-8").strip()


def fill(name: str, **values: str) -> str:
    """Return the prompt with every `$name` replaced; values are not expanded again."""
    return Template(text(name)).substitute(values)
