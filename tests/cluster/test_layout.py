from ipaddress import IPv4Network
from itertools import combinations

import pytest

from agenttask_cluster.errors import ClusterError
from agenttask_cluster.layout import NUMBERS, Layout, check_name, choose_layout, preferred_numbers


def test_layout_is_the_same_each_time():
    assert choose_layout("agenttask", [], []) == choose_layout("agenttask", [], [])


def test_layout_differs_when_the_number_is_taken():
    first = choose_layout("agenttask", [], [])
    second = choose_layout("agenttask", [first.number], [])
    assert second.number != first.number
    assert not second.network.overlaps(first.network)


def test_layout_avoids_networks_that_the_host_routes():
    first = choose_layout("agenttask", [], [])
    second = choose_layout("agenttask", [], [IPv4Network(f"{first.node_address}/32")])
    assert not second.network.overlaps(first.network)


def test_layout_refuses_when_all_numbers_are_taken():
    with pytest.raises(ClusterError, match="no free network"):
        choose_layout("agenttask", NUMBERS, [])


def test_numbers_are_a_permutation():
    assert sorted(preferred_numbers("agenttask")) == list(NUMBERS)


def test_no_two_numbers_share_anything_that_the_host_sees():
    layouts = [Layout("same", number) for number in NUMBERS]
    assert len({layout.api_port for layout in layouts}) == len(layouts)
    assert not any(one.network.overlaps(two.network) for one, two in combinations(layouts, 2))


def test_parts_of_the_network_do_not_overlap():
    layout = Layout("demo", 3)
    assert layout.pods.subnet_of(layout.network)
    assert layout.services.subnet_of(layout.network)
    assert not layout.pods.overlaps(layout.services)
    assert layout.node_address not in layout.services
    assert layout.node_address not in layout.pods


def test_dns_is_the_tenth_service_address():
    layout = Layout("demo", 0)
    assert (str(layout.api_service), str(layout.dns_service)) == ("10.100.128.1", "10.100.128.10")


def test_pods_have_room_for_every_pod_of_the_node_twice():
    assert Layout("demo", 0).pods.num_addresses > 500


@pytest.mark.parametrize("name", ["kind", "agenttask-test", "a" * 50])
def test_link_name_fits_the_kernel(name):
    assert len(Layout(name, 0).link) <= 15


def test_links_of_the_two_usual_clusters_differ():
    assert Layout("agenttask", 0).link != Layout("agenttask-test", 0).link


def test_socket_path_fits_a_unix_socket():
    socket = Layout("a" * 50, 99).socket
    assert len(f"{socket}.ttrpc") < 108


@pytest.mark.parametrize("name", ["Foo", "a_b", "", "a/b", "..", ".lock", "a" * 51])
def test_name_is_refused_when_kind_would_or_a_socket_would_not_fit(name):
    with pytest.raises(ClusterError, match="not a valid cluster name"):
        check_name(name)
