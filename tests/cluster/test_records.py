import pytest

from agenttask_cluster import records
from agenttask_cluster.processes import Process


def test_cluster_is_not_live_before_it_is_ready():
    node = Process(1, 0, "boot")
    assert not records.Record(3, node, ready=False).is_live


def test_record_is_read_as_it_was_written(make_layout):
    layout = make_layout()
    layout.root.mkdir()
    record = records.Record(3, Process(1, 2, "boot"), ready=True)
    records.write(layout, record)
    assert records.read("demo", layout.state) == record


def test_clusters_of_before_a_reboot_are_not_live(make_layout):
    layout = make_layout()
    layout.root.mkdir()
    records.write(layout, records.Record(3, Process(1, 2, "boot of before"), ready=True))
    assert records.live_names(layout.state) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"number": 1}', '{"number": 1, "node": {"x": 1}}']
)
def test_damaged_record_is_none(text):
    assert records.parse(text) is None
