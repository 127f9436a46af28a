from agenttask_cluster import packages


def test_missing_packages_are_named_once():
    needs = {"runc": "runc", "/a": "tools", "/b": "tools"}
    assert packages.find_missing(needs, lambda need: need == "runc") == ["tools"]
