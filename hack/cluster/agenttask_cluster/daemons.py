"""Command lines of the daemons: stock settings, unless one machine demands otherwise."""

from collections.abc import Mapping
from pathlib import Path

from .layout import Layout


def command(binary: Path, flags: Mapping[str, str], extra: Mapping[str, str]) -> list[str]:
    """One flag per name; what the user asked for wins over ours."""
    return [str(binary), *(f"--{flag}={value}" for flag, value in {**flags, **extra}.items())]


def etcd(layout: Layout) -> dict[str, str]:
    return {
        "name": layout.node,
        "data-dir": str(layout.data / "etcd"),
        # A cluster for tests does not outlive a power cut.
        "unsafe-no-fsync": "true",
    }


def api_server(layout: Layout) -> dict[str, str]:
    pki = layout.pki
    return {
        "advertise-address": str(layout.node_address),
        "allow-privileged": "true",
        "audit-log-path": str(layout.logs / "audit.log"),
        "audit-policy-file": str(layout.config / "audit.yaml"),
        "authorization-mode": "Node,RBAC",
        "client-ca-file": str(pki / "ca.crt"),
        "enable-admission-plugins": "NodeRestriction",
        "etcd-servers": "http://127.0.0.1:2379",
        "kubelet-certificate-authority": str(pki / "ca.crt"),
        "kubelet-client-certificate": str(pki / "kubelet-client.crt"),
        "kubelet-client-key": str(pki / "kubelet-client.key"),
        "kubelet-preferred-address-types": "InternalIP,Hostname",
        "secure-port": "6443",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": str(pki / "sa.pub"),
        "service-account-signing-key-file": str(pki / "sa.key"),
        "service-cluster-ip-range": str(layout.services),
        "tls-cert-file": str(pki / "apiserver.crt"),
        "tls-private-key-file": str(pki / "apiserver.key"),
    }


def controller_manager(layout: Layout) -> dict[str, str]:
    pki, kubeconfig = layout.pki, str(layout.config / "controller-manager.kubeconfig")
    return {
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "client-ca-file": str(pki / "ca.crt"),
        "cluster-signing-cert-file": str(pki / "ca.crt"),
        "cluster-signing-key-file": str(pki / "ca.key"),
        "kubeconfig": kubeconfig,
        "leader-elect": "false",
        "root-ca-file": str(pki / "ca.crt"),
        "service-account-private-key-file": str(pki / "sa.key"),
        "use-service-account-credentials": "true",
    }


def scheduler(layout: Layout) -> dict[str, str]:
    kubeconfig = str(layout.config / "scheduler.kubeconfig")
    return {
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "kubeconfig": kubeconfig,
        "leader-elect": "false",
    }


def containerd(layout: Layout) -> dict[str, str]:
    return {"config": str(layout.config / "containerd.toml")}


def kubelet(layout: Layout) -> dict[str, str]:
    return {
        "config": str(layout.config / "kubelet.yaml"),
        "hostname-override": layout.node,
        "kubeconfig": str(layout.config / "kubelet.kubeconfig"),
        "node-ip": str(layout.node_address),
        "root-dir": str(layout.data / "kubelet"),
        "v": "2",
    }


def proxy(layout: Layout) -> dict[str, str]:
    return {
        "cluster-cidr": str(layout.pods),
        # The size of the host's connection table is not ours to change.
        "conntrack-max-per-core": "0",
        "hostname-override": layout.node,
        "kubeconfig": str(layout.config / "proxy.kubeconfig"),
        "proxy-mode": "nftables",
    }


ALL = {
    "etcd": etcd,
    "kube-apiserver": api_server,
    "containerd": containerd,
    "kube-controller-manager": controller_manager,
    "kube-scheduler": scheduler,
    "kubelet": kubelet,
    "kube-proxy": proxy,
}
"""In order of start."""
