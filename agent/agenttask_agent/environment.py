"""The environment of programs that the agent starts: a list, never a copy of ours."""

from collections.abc import Mapping
from pathlib import Path

from agenttask_api.spec import EnvVar

INHERITED = ("PATH", "LANG", "VIRTUAL_ENV")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def program_environment(
    ours: Mapping[str, str], task_env: tuple[EnvVar, ...], home: Path, tmp: Path
) -> dict[str, str]:
    """Return what setup, tests and searches get to see; the task's own values win."""
    base = {"PATH": DEFAULT_PATH, "LANG": "C.UTF-8"}
    base |= {name: ours[name] for name in INHERITED if ours.get(name)}
    fixed = {
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "TERM": "dumb",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "CI": "true",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return base | fixed | {variable.name: variable.value for variable in task_env}
