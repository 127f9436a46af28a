"""Which layers of the image store go: those that no build has used for long, and few at once."""

import fcntl
import json
from pathlib import Path

import pytest

from agenttask_cluster import layers

DAY = 24 * 3600.0
NOW = 100 * DAY
SAID = """STEP 1/3: FROM localhost/agenttask/base:bookworm
STEP 2/3: RUN echo --> aaaaaaaaaaaa
--> Using cache 1bd76d5a930ad82700c1cae702fed10bc69b03a0757e3aa39856a5852714b61c
--> 1bd76d5a930
STEP 3/3: COPY a b
--> 30ab8f100ea
COMMIT localhost/agenttask/x:dev
68d40284c5eb92a9ffffa29aff348ae993573e59eb78b91f6196238354326364
"""
BUILDAH = """#!/bin/sh
case "$1" in
  images) cat "$0.images" ;;
  rmi) shift; printf '%s\\n' "$@" >> "$0.removed" ;;
esac
"""


def names(count: int, first: int = 0) -> list[str]:
    return [f"{number:011x}" for number in range(first, first + count)]


def test_a_build_says_what_it_took_and_made():
    assert layers.used(SAID) == {"1bd76d5a930", "30ab8f100ea"}


def test_few_layers_stay_however_old():
    old = names(layers.KEPT)
    assert layers.superfluous(old, dict.fromkeys(old, 0.0), NOW) == []


def test_the_longest_unused_go_first_and_recent_ones_stay():
    uses = {name: NOW - DAY * 2 + n for n, name in enumerate(names(layers.KEPT + 3))}
    assert layers.superfluous(list(uses), uses, NOW) == names(3)
    recent = {name: NOW - DAY / 2 for name in uses}
    assert layers.superfluous(list(recent), recent, NOW) == []


def test_what_was_never_seen_is_nobodys_to_remove():
    assert layers.superfluous(names(layers.KEPT * 2), {}, NOW) == []


def test_one_build_removes_only_so_many():
    uses = dict.fromkeys(names(layers.KEPT + 2 * layers.MOST_AT_ONCE), 0.0)
    assert len(layers.superfluous(list(uses), uses, NOW)) == layers.MOST_AT_ONCE


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store whose buildah has two layers too many, and one that carries a name."""
    nameless = [
        {"id": f"sha256:{name}{'0' * 53}", "names": None} for name in names(layers.KEPT + 2)
    ]
    named = {"id": "f" * 64, "names": ["localhost/agenttask/x:dev"]}
    program = tmp_path / "buildah"
    program.write_text(BUILDAH)
    program.chmod(0o755)
    (tmp_path / "buildah.images").write_text(json.dumps([*nameless, named]))
    notes = dict.fromkeys(names(layers.KEPT + 2), 1.0)
    (tmp_path / "containers-uses.json").write_text(json.dumps(notes))
    return tmp_path / "containers"


def removed(store: Path) -> list[str]:
    file = store.with_name("buildah.removed")
    return file.read_text().split() if file.exists() else []


def test_unused_layers_are_removed_and_used_ones_noted(store: Path):
    buildah = (str(store.with_name("buildah")),)
    assert layers.prune(buildah, store, f"--> {names(1)[0]}\n") == 2
    assert removed(store) == names(2, first=1)
    notes = json.loads(store.with_name("containers-uses.json").read_text())
    assert notes[names(1)[0]] > 1.0
    assert len(notes) == layers.KEPT


def test_nothing_is_removed_while_somebody_builds(store: Path):
    with layers.building(store):
        assert layers.prune((str(store.with_name("buildah")),), store, "") == 0
    assert removed(store) == []


def test_builds_do_not_wait_for_each_other(store: Path):
    with layers.building(store), store.with_name("containers.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_buildah_that_fails_removes_nothing(store: Path):
    store.with_name("buildah").write_text("#!/bin/sh\nexit 1\n")
    assert layers.prune((str(store.with_name("buildah")),), store, "") == 0
