import pytest

from agenttask_cluster.errors import ClusterError
from agenttask_cluster.settings import API_VERSION, find_patches, parse


def make_config(**fields):
    return {"kind": "Cluster", "apiVersion": API_VERSION, **fields}


def test_flags_of_programs_come_from_patches():
    patch = {
        "kind": "ClusterConfiguration",
        "controllerManager": {"extraArgs": {"kube-api-qps": "100"}},
        "scheduler": {"extraArgs": [{"name": "kube-api-burst", "value": 200}]},
    }
    assert parse(make_config(), [patch]).flags == {
        "kube-controller-manager": {"kube-api-qps": "100"},
        "kube-scheduler": {"kube-api-burst": "200"},
    }


def test_kubelet_fields_come_from_patches():
    patch = {"kind": "KubeletConfiguration", "apiVersion": "v1", "maxPods": 20}
    assert parse(make_config(), [patch]).kubelet == {"maxPods": 20}


def test_feature_gates_reach_every_program():
    flags = parse(make_config(featureGates={"Some": True}), []).flags
    assert flags["kubelet"]["feature-gates"] == "Some=true"
    assert flags["kube-apiserver"]["feature-gates"] == "Some=true"


def test_patches_are_found_in_the_cluster_and_in_its_node():
    node = {"role": "control-plane", "kubeadmConfigPatches": ["b"]}
    assert find_patches(make_config(kubeadmConfigPatches=["a"], nodes=[node])) == ["a", "b"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({"kind": "Pod"}, "expected kind Cluster", id="another kind"),
        pytest.param(
            make_config(nodes=[{"role": "control-plane"}, {"role": "worker"}]),
            "exactly one node",
            id="two nodes",
        ),
        pytest.param(make_config(networking={}), "nothing here: networking", id="unknown field"),
        pytest.param(
            make_config(nodes=[{"role": "control-plane", "extraMounts": []}]),
            "nodes.extraMounts",
            id="unknown field of a node",
        ),
    ],
)
def test_config_is_refused_by_name(config, message):
    with pytest.raises(ClusterError, match=message):
        parse(config, [])


def test_patch_is_refused_when_it_means_nothing_here():
    with pytest.raises(ClusterError, match="JoinConfiguration"):
        parse(make_config(), [{"kind": "JoinConfiguration"}])
