"""The configuration files of a cluster, as text.

Written as JSON where the reader takes YAML: JSON is YAML, and Python writes it.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from .layout import Layout

PAUSE_IMAGE = "localhost/agenttask-cluster/pause:1"
KUBECONFIG_USERS = ("admin", "controller-manager", "scheduler", "proxy", "kubelet")

AUDIT_POLICY = json.dumps(
    {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }
)


def render_all(layout: Layout, kubelet: Mapping[str, Any]) -> dict[str, str]:
    """All files of the config folder, by name."""
    kubeconfigs = {
        f"{user}.kubeconfig": render_kubeconfig(layout, user) for user in KUBECONFIG_USERS
    }
    return kubeconfigs | {
        "audit.yaml": AUDIT_POLICY,
        "containerd.toml": render_containerd(layout),
        "kubelet.yaml": render_kubelet(layout, kubelet),
        "10-pods.conflist": render_cni(layout),
        "resolv.conf": f"nameserver {layout.dns_service}\n",
    }


def render_kubeconfig(layout: Layout, user: str) -> str:
    """For people by the host's address; for the node's own daemons by the node's."""
    server = layout.server if user == "admin" else "https://127.0.0.1:6443"
    cluster = {"server": server, "certificate-authority-data": _encode(layout, "ca.crt")}
    account = {
        "client-certificate-data": _encode(layout, f"{user}.crt"),
        "client-key-data": _encode(layout, f"{user}.key"),
    }
    name = layout.context
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": account}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(content, indent=2) + "\n"


def _encode(layout: Layout, file: str) -> str:
    return base64.b64encode((layout.pki / file).read_bytes()).decode()


def render_kubelet(layout: Layout, more: Mapping[str, Any]) -> str:
    """Stock behaviour, but for a version 1 cgroup host, images only here, and a full disk."""
    content: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(layout.node_address),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "clusterDNS": [str(layout.dns_service)],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "enforceNodeAllocatable": [],
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "podLogsDir": str(layout.pod_logs),
        "resolvConf": str(layout.config / "resolv.conf"),
        "serializeImagePulls": False,
        "tlsCertFile": str(layout.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet.key"),
    }
    return json.dumps(content | dict(more), indent=2) + "\n"


def render_cni(layout: Layout) -> str:
    """One routed link per pod: no bridge, so service addresses work without br_netfilter."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(layout.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(layout.data / "addresses"),
    }
    plugins: list[dict[str, Any]] = [
        {"type": "ptp", "ipMasq": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}, indent=2) + "\n"


def render_containerd(layout: Layout) -> str:
    """Everything below the cluster's folder.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE runc may not lower the score
    and dies with "can't get final child's PID from pipe: EOF".
    """
    return f"""\
version = 3
root = "{layout.data}/containerd"
state = "{layout.data}/containerd-state"
imports = []
[grpc]
  address = "{layout.socket}"
[plugins.'io.containerd.internal.v1.opt']
  path = "{layout.data}/containerd-opt"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{layout.config}"
"""
