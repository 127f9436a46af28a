"""What came of one try at one task, and the table of all of them."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.eval.tasks import EvalTask, git, passes_pytest, write


@dataclass(frozen=True)
class Claim:
    """What a harness says of its own work."""

    success: bool
    reason: str
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Row:
    """One try: the claim, and what the tests say.

    `passed`: the hidden tests pass; where nothing was to be changed, nothing was.
    `false_success`: success was claimed though the visible tests fail, or though nothing
    was changed and a change was wanted. `wrong`: success was claimed and the visible tests
    pass, but not the hidden ones.
    """

    task: str
    harness: str
    passed: bool
    reason: str
    claimed: bool
    false_success: bool
    wrong: bool
    steps: int
    tokens: int
    seconds: float


def judge(task: EvalTask, harness: str, claim: Claim, work: Path, folder: Path) -> Row:
    """Return the row of a try that left its result in `work`; `folder` is for copies."""
    changed = is_changed(task, work)
    visible = _visible(task, work, folder / "visible")
    hidden = _hidden(task, work, folder / "hidden")
    passed = hidden and (not changed if task.unchanged else changed)
    false = claim.success and (not visible or (not changed and not task.unchanged))
    wrong = claim.success and not false and not passed
    return Row(
        task.name, harness, passed, claim.reason, claim.success, false, wrong,
        claim.steps, claim.tokens, round(claim.seconds, 1),
    )  # fmt: skip


def is_changed(task: EvalTask, work: Path) -> bool:
    """Say whether any of the task's files has another content, or there are new ones."""
    status = git(work, "status", "--porcelain", "--untracked-files=all", "--", ".", ":!*.pyc")
    first = git(work, "rev-list", "--max-parents=0", "HEAD")
    return bool(status or git(work, "diff", "--name-only", first, "HEAD"))


def _visible(task: EvalTask, work: Path, copy: Path) -> bool:
    """Run the tests that the agent saw, as they were."""
    if not task.has_tests:
        return True
    shutil.copytree(work, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    tests = {n: t for n, t in task.files.items() if Path(n).name.startswith("test_")}
    write(copy, tests)
    return passes_pytest(copy, tuple(tests))


def _hidden(task: EvalTask, work: Path, copy: Path) -> bool:
    shutil.copytree(work, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    write(copy, task.hidden)
    return passes_pytest(copy, tuple(task.hidden))


def as_table(rows: Sequence[Row]) -> str:
    """Return the rows as text, each harness with its sum."""
    width = max(len(row.task) for row in rows)
    lines = [f"{'TASK':<{width}}  HARNESS     PASSED  STEPS  TOKENS  SECONDS  REASON"]
    lines += [
        f"{row.task:<{width}}  {row.harness:<10}  {'yes' if row.passed else 'no':<6}  "
        f"{row.steps:>5}  {row.tokens:>6}  {row.seconds:>7}  {_told(row)}"
        for row in rows
    ]
    return "\n".join([*lines, "", *(_sum(rows, name) for name in _harnesses(rows))])


def _harnesses(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.harness for row in rows))


def _sum(rows: Sequence[Row], harness: str) -> str:
    own = [row for row in rows if row.harness == harness]
    count = {name: sum(asdict(row)[name] for row in own)
             for name in ("passed", "false_success", "wrong", "tokens", "seconds")}  # fmt: skip
    return (
        f"{harness}: {count['passed']} of {len(own)} passed, "
        f"{count['false_success']} false successes, {count['wrong']} wrong, "
        f"{count['tokens']} tokens, {count['seconds']:.0f} s"
    )


def _told(row: Row) -> str:
    if row.passed:
        return ""
    mark = "FALSE SUCCESS: " if row.false_success else "wrong: " if row.wrong else ""
    return f"{mark}{row.reason}"[:100]
