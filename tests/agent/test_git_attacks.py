"""Every operation that runs git, against every way to make git run something else."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.attacks import ATTACKS, BUNDLES
from tests.agent.attackyard import Attack, Yard, copied, make_yard
from tests.agent.toolboxes import Tools

from agenttask_agent.harvest import Harvest, bring_in
from agenttask_agent.tools import git
from agenttask_agent.tools.remotes import Remotes

pytestmark = pytest.mark.usefixtures("as_if_bounded")

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("git.status", {}),
    ("git.diff", {}),
    ("files.diff_files", {"file1": "utils.py"}),
    ("git.add", {"paths": "all"}),
    ("git.diff", {"cached": True}),
    ("git.commit", {"message": "Work"}),
    ("git.commit", {"message": "Nothing was added"}),
    ("git.log", {}),
    ("git.show", {"ref": "HEAD"}),
    ("git.show", {"ref": "HEAD", "path": "utils.py"}),
    ("git.blame", {"path": "utils.py"}),
    ("git.restore", {"paths": ["utils.py"]}),
    ("git.branch", {"list_all": True}),
    ("git.checkout", {"branch": "friend"}),
    ("git.checkout", {"branch": "agent"}),
    ("git.fetch", {}),
    ("git.push", {}),
    ("git.pull", {"branch": "friend"}),
    ("git.clone", {"url": "REMOTE", "branch": "friend"}),
)
LAST = ("git.pull", {"branch": "theirs"})
"""Two changes of one file: merged by a driver, or not at all."""
CLEAN = ("git.checkout", "git.pull")
"""They want no changes that are not committed."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    return make_yard(tmp_path_factory.mktemp("template"))


@pytest.fixture
def yard(template: Yard, tmp_path: Path) -> Yard:
    return copied(template, tmp_path)


@pytest.fixture
def tools(yard: Yard) -> Iterator[Tools]:
    made = Tools(yard.root, yard.base / "tmp", role=None, remotes=Remotes((str(yard.remote),)))
    yield made
    made.close()


PROOFS = [pytest.param(a, p, id=f"{a.name}: {p[0]}") for a in ATTACKS for p in a.proofs]


@pytest.mark.parametrize(("attack", "proof"), PROOFS)
def test_plain_git_falls_for_it(attack: Attack, proof: tuple[str, ...], yard: Yard):
    attack.plant(yard)
    assert yard.marks() == [], "not by planting it"
    attack.prove(yard, proof)
    assert yard.marks()


def refused(bundle: list[Attack]) -> set[str]:
    """Return the operations that cannot work once all of these are planted."""
    everything = {operation for operation, _ in CALLS}
    fails = {operation for attack in bundle for operation in attack.fails}
    return everything if "*" in fails else fails


ALONE = bool(os.environ.get("AGENTTASK_SLOW_TESTS"))
"""`make test-tools` tries each attack by itself too."""
TRIED = [*BUNDLES, *([attack] for attack in ATTACKS if ALONE)]


@pytest.mark.parametrize("bundle", TRIED, ids=lambda bundle: ", ".join(a.name for a in bundle))
def test_no_operation_does(bundle: list[Attack], yard: Yard, tools: Tools):
    worked = set()
    for operation, arguments in (*CALLS, LAST):
        for attack in bundle:
            attack.plant(yard)
        if operation not in CLEAN:
            (yard.root / "utils.py").write_text(f"x = {operation!r}\n")
        filled = {k: str(yard.remote) if v == "REMOTE" else v for k, v in arguments.items()}
        worked |= {operation} if tools(operation, **filled).ok else set()
        assert yard.marks() == [], operation
    assert worked >= {operation for operation, _ in CALLS} - refused(bundle)
    harvest = after(bundle, yard, tools)
    assert bool(harvest.commit) is (refused(bundle) < {operation for operation, _ in CALLS})
    assert yard.marks() == [], "review and harvest"


def after(bundle: list[Attack], yard: Yard, tools: Tools) -> Harvest:
    """Do what the agent itself does with git when the model has finished."""
    for attack in bundle:
        attack.plant(yard)
    tools.toolbox.review()
    return bring_in(tools.toolbox.context.repository, "friend", "Work", yard.base / "bundle")


def test_all_operations_are_tried():
    assert {operation for operation, _ in CALLS} >= {o.key for o in git.OPERATIONS}
