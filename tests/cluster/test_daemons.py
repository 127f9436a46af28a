import pytest

from agenttask_cluster import daemons


def test_api_server_writes_the_audit_log(layout):
    flags = daemons.api_server(layout)
    assert flags["audit-log-path"] == str(layout.logs / "audit.log")
    assert flags["enable-admission-plugins"] == "NodeRestriction"


@pytest.mark.parametrize("name", daemons.ALL)
def test_daemon_keeps_its_stock_rate(layout, name):
    assert not [flag for flag in daemons.ALL[name](layout) if "qps" in flag or "burst" in flag]


def test_flags_of_the_user_win(layout, tmp_path):
    line = daemons.command(tmp_path / "x", {"a": "1", "b": "2"}, {"b": "3"})
    assert line[1:] == ["--a=1", "--b=3"]
