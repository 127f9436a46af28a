from agenttask_cluster import network


def test_host_rules_name_only_this_cluster(layout):
    rules = network.render_rules(layout)
    assert f"tcp dport {layout.api_port} dnat to {layout.node_address}:6443" in rules
    assert f"table ip {layout.table}" in rules


def test_routes_are_read_as_networks():
    text = "default via 192.0.2.1 dev eth0\n10.1.0.0/22 via 10.1.255.2\nlocal 127.0.0.1 dev lo\n"
    assert [str(one) for one in network.parse_routes(text)] == ["10.1.0.0/22", "127.0.0.1/32"]
