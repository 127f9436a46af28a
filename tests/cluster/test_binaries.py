import pytest

from agenttask_cluster.binaries import CLUSTER, ON_DEMAND, PROGRAMS, Program, hash_program


@pytest.fixture
def modules(tmp_path):
    (tmp_path / "pause").mkdir()
    (tmp_path / "pause" / "go.mod").write_text("module pause\n")
    (tmp_path / "pause" / "main.go").write_text("package main\n")
    return tmp_path


def test_hash_is_the_same_each_time(modules):
    assert hash_program(PROGRAMS["pause"], modules) == hash_program(PROGRAMS["pause"], modules)


def test_hash_changes_with_the_source(modules):
    before = hash_program(PROGRAMS["pause"], modules)
    (modules / "pause" / "main.go").write_text("package main // changed\n")
    assert hash_program(PROGRAMS["pause"], modules) != before


def test_hash_changes_with_the_flags(modules):
    other = Program("pause", "pause", ".", tags="more")
    assert hash_program(other, modules) != hash_program(PROGRAMS["pause"], modules)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_has_its_pinned_module(name):
    assert len(hash_program(PROGRAMS[name])) == 16


def test_cluster_does_not_wait_for_programs_of_others():
    assert not {"nats-server", "helm", "kubeconform", *ON_DEMAND} & set(CLUSTER)
