import json
import tomllib

from agenttask_cluster import files


def test_kubelet_configuration_follows_the_layout(layout):
    content = json.loads(files.render_kubelet(layout, {}))
    assert content["clusterDNS"] == [str(layout.dns_service)]
    assert content["cgroupRoot"] == "/agenttask-demo"
    assert content["containerRuntimeEndpoint"] == f"unix://{layout.socket}"


def test_kubelet_configuration_yields_to_the_user(layout):
    content = json.loads(files.render_kubelet(layout, {"maxPods": 20}))
    assert (content["maxPods"], content["serializeImagePulls"]) == (20, False)


def test_containerd_configuration_stays_in_the_clusters_folder(layout):
    content = tomllib.loads(files.render_containerd(layout))
    places = [content["root"], content["state"], content["grpc"]["address"]]
    assert all(place.startswith(str(layout.root)) for place in places)
    assert content["plugins"]["io.containerd.nri.v1.nri"]["disable"]


def test_pods_get_addresses_of_their_cluster(layout):
    plugin = json.loads(files.render_cni(layout))["plugins"][0]
    assert plugin["ipam"]["ranges"] == [[{"subnet": str(layout.pods)}]]


def test_kubeconfig_of_people_leads_to_the_hosts_port(layout):
    content = json.loads(files.render_kubeconfig(layout, "admin"))
    assert content["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{layout.api_port}"
    assert content["current-context"] == "kind-demo"


def test_kubeconfig_of_daemons_stays_in_the_node(layout):
    content = json.loads(files.render_kubeconfig(layout, "kubelet"))
    assert content["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"


def test_audit_policy_records_metadata_of_everything():
    assert json.loads(files.AUDIT_POLICY)["rules"] == [{"level": "Metadata"}]
