import pytest

from agenttask_testbed import images


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Return a function that makes programs of these names and exit codes, and no others."""

    def make(**programs: int):
        for name, code in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


def test_demo_takes_the_real_kind_where_docker_works(machine):
    machine(docker=0, kind=0)
    assert images.cluster_tool() == "kind"


@pytest.mark.parametrize("programs", [{}, {"docker": 0}, {"kind": 0}, {"docker": 1, "kind": 0}])
def test_demo_takes_our_own_elsewhere(machine, programs):
    machine(**programs)
    assert images.cluster_tool() == images.KIND
