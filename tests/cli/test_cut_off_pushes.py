"""A local run that is ended in mid-push: the farthest repository decides, and the user is told."""

from pathlib import Path

import pytest
from tests.courier.conftest import git

from agenttask_api.status import Phase
from agenttask_cli.session import cancelled_outcome
from agenttask_cli.source import PushOn
from agenttask_courier.git import Git

BRANCH = "agenttask/x"


@pytest.fixture
def work(tmp_path: Path) -> str:
    """A bare repository `near` that has a commit on the branch, and `far`, which has none."""
    for name in ("near", "far"):
        git(tmp_path, "init", "-q", "--bare", name)
    git(tmp_path, "init", "-q", "work")
    folder = tmp_path / "work"
    git(folder, "commit", "-q", "--allow-empty", "-m", "work")
    git(folder, "push", "-q", str(tmp_path / "near"), f"HEAD:refs/heads/{BRANCH}")
    return git(folder, "rev-parse", "HEAD")


def that_pushes_to(tmp_path: Path, name: str) -> Git:
    git(tmp_path, "init", "-q", "--bare", f"from-{name}")
    git(tmp_path / f"from-{name}", "remote", "add", "origin", str(tmp_path / name))
    return Git(tmp_path / f"from-{name}", tmp_path, config=("protocol.file.allow=always",))


def test_stand_in_is_asked_where_nothing_else_is_pushed_to(tmp_path: Path, work: str):
    near = that_pushes_to(tmp_path, "near")
    assert PushOn(None).arrived(near, work, BRANCH) is True
    assert PushOn(None).arrived(near, "0" * 40, BRANCH) is False


def test_users_remote_is_asked_where_it_is_pushed_to(tmp_path: Path, work: str):
    near, far = (that_pushes_to(tmp_path, name) for name in ("near", "far"))
    assert PushOn(far).arrived(near, work, BRANCH) is False
    assert PushOn(that_pushes_to(tmp_path, "gone")).arrived(near, work, BRANCH) is None


def test_cancelled_run_tells_of_its_push():
    outcome = cancelled_outcome("the push was cut off")
    assert outcome.phase is Phase.CANCELLED
    assert outcome.message == "cancelled by the user; the push was cut off"
