from pathlib import Path

import pytest

from agenttask_cluster.cgroups import choose_tracker, is_first_process, is_member, parse_hierarchies

MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""


def test_hierarchies_of_both_versions_are_found():
    names = [path.name for path in parse_hierarchies(MOUNTS)]
    assert names == ["cpu", "pids", "unified"]


def test_processes_are_known_by_the_pids_hierarchy():
    assert choose_tracker(parse_hierarchies(MOUNTS)) == Path("/sys/fs/cgroup/pids")


def test_processes_are_known_by_the_only_hierarchy_of_version_2():
    assert choose_tracker([Path("/sys/fs/cgroup")]) == Path("/sys/fs/cgroup")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/agenttask-demo", True, id="itself"),
        pytest.param("/agenttask-demo/daemons", True, id="below"),
        pytest.param("/agenttask-demo-2/daemons", False, id="a longer name"),
        pytest.param("/", False, id="outside"),
    ],
)
def test_member_is_told_from_a_stranger(path, expected):
    assert is_member(f"9:name=systemd:/\n8:pids:{path}\n", "agenttask-demo") is expected


@pytest.mark.parametrize(
    ("pids", "expected"),
    [
        pytest.param("100", False, id="a process of the host"),
        pytest.param("100 1", True, id="the first of the node"),
        pytest.param("100 7", False, id="a daemon of the node"),
        pytest.param("100 30 1", False, id="the first of a pod"),
    ],
)
def test_first_process_of_the_node_is_found(pids, expected):
    assert is_first_process(f"Name:\tpause\nNSpid:\t{pids}\n") is expected
