"""Bring a cluster up: build, lay out, start, wait."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import (
    archives,
    binaries,
    cgroups,
    daemons,
    dns,
    down,
    files,
    images,
    layout,
    network,
    node,
    packages,
    pki,
    records,
)
from .errors import ClusterError
from .kubectl import Kubectl
from .layout import Layout
from .ports import busy_numbers
from .processes import Process, is_alive
from .settings import Settings

START_TIMEOUT = 120.0


@dataclass(frozen=True)
class Cluster:
    """A cluster while it is being started."""

    layout: Layout
    programs: Mapping[str, Path]
    members: Path
    node: Process
    settings: Settings
    started: dict[str, Process] = field(default_factory=dict)

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.programs["kubectl"], self.layout.kubeconfig)


def create(
    name: str, settings: Settings, wait: float, retain: bool, report: Callable[[str], None]
) -> Layout:
    """Create the cluster; when that fails leave nothing of it, unless told to retain it."""
    if os.geteuid() != 0:
        raise ClusterError(
            "creating a cluster needs root (for namespaces, mounts and cgroups): use sudo"
        )
    programs = _prepare(report)
    with binaries.locked(layout.STATE / f".{name}.lock"):
        if records.live_layout(name):
            raise ClusterError(f'node(s) already exist for a cluster with the name "{name}"')
        try:
            return _create(name, programs, settings, wait, report)
        except BaseException:
            if not retain:
                down.remove(name)
            raise


def _prepare(report: Callable[[str], None]) -> Mapping[str, Path]:
    with binaries.locked(layout.STATE / ".packages.lock"):
        packages.ensure(packages.CLUSTER, report)
    return binaries.ensure_binaries(binaries.CLUSTER, report)


def _create(
    name: str,
    programs: Mapping[str, Path],
    settings: Settings,
    wait: float,
    report: Callable[[str], None],
) -> Layout:
    down.remove(name)
    place = _allocate(name)
    report("Writing configuration")
    _write_files(place, settings)
    report("Preparing node")
    cluster = _open_node(place, programs, settings)
    report("Starting control-plane")
    _start_control_plane(cluster)
    report("Starting node")
    _start_node(cluster)
    report("Installing DNS and waiting for controllers")
    cluster.kubectl.apply(dns.render(place, os.environ.get("AGENTTASK_CLUSTER_UPSTREAM_DNS")))
    _wait_for(cluster, "the controllers", cluster.kubectl.takes_pods, START_TIMEOUT)
    if wait:
        report(f"Waiting up to {wait:g}s for control-plane = Ready")
        _wait_ready(cluster, wait)
    records.write(place, records.Record(place.number, cluster.node, ready=True))
    return place


def _allocate(name: str) -> Layout:
    """Choose a number and write it down before any other `create` can choose."""
    with binaries.locked(layout.STATE / ".numbers.lock"):
        used = {record.number for record in records.read_all().values()} | busy_numbers()
        place = layout.choose_layout(name, used, network.read_used_networks())
        place.root.mkdir(parents=True)
        records.write(place, records.Record(place.number))
    return place


def _write_files(place: Layout, settings: Settings) -> None:
    pki.write(place)
    for folder in (place.config, place.logs, place.pod_logs, place.data):
        folder.mkdir()
    place.config.chmod(0o700)
    for name, content in files.render_all(place, settings.kubelet).items():
        (place.config / name).write_text(content)


def _open_node(place: Layout, programs: Mapping[str, Path], settings: Settings) -> Cluster:
    members = cgroups.create(place.cgroup)
    keeper = node.start(place, members, programs["pause"])
    records.write(place, records.Record(place.number, keeper))
    node.hide_shared_paths(place, keeper)
    network.connect(place, keeper)
    return Cluster(place, programs, members, keeper, settings)


def _start_control_plane(cluster: Cluster) -> None:
    for name in ("etcd", "kube-apiserver", "containerd"):
        _start(cluster, name)
    _wait_for(cluster, "the container runtime", cluster.layout.socket.exists, START_TIMEOUT)
    _import_images(cluster)
    _wait_for(cluster, "the API server", cluster.kubectl.is_api_ready, START_TIMEOUT)
    for name in ("kube-controller-manager", "kube-scheduler"):
        _start(cluster, name)


def _start_node(cluster: Cluster) -> None:
    for name in ("kubelet", "kube-proxy"):
        _start(cluster, name)
    _wait_for(
        cluster,
        "the node to register",
        lambda: cluster.kubectl.has_node(cluster.layout.node),
        START_TIMEOUT,
    )
    cluster.kubectl.run(
        "label", "node", cluster.layout.node, "node-role.kubernetes.io/control-plane="
    )


def _start(cluster: Cluster, name: str) -> None:
    flags = daemons.ALL[name](cluster.layout)
    line = daemons.command(cluster.programs[name], flags, cluster.settings.flags.get(name, {}))
    path = ":".join(str(program.parent) for program in cluster.programs.values())
    cluster.started[name] = node.spawn(cluster.layout, cluster.members, cluster.node, line, path)


def _import_images(cluster: Cluster) -> None:
    for image, name in ((files.PAUSE_IMAGE, "pause"), (dns.IMAGE, "coredns")):
        program = cluster.programs[name]
        with binaries.locked(program.with_name("image.lock")):
            archive = archives.pack_program(image, program, program.with_name("image.tar"))
        images.import_archive(cluster.layout, cluster.programs["ctr"], archive)


def _wait_ready(cluster: Cluster, timeout: float) -> None:
    _wait_for(
        cluster,
        "the node to be Ready",
        lambda: cluster.kubectl.is_node_ready(cluster.layout.node),
        timeout,
    )
    _wait_for(cluster, "the cluster's DNS", cluster.kubectl.is_dns_available, timeout)


def _wait_for(cluster: Cluster, what: str, is_done: Callable[[], bool], timeout: float) -> None:
    """Poll; a daemon that ended meanwhile is the reason, so say so with its last words."""
    deadline = time.monotonic() + timeout
    while not is_done():
        for name, process in cluster.started.items():
            if not is_alive(process):
                raise ClusterError(f"{name} ended:\n{node.read_tail(cluster.layout, name)}")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"waited {timeout:g} s for {what} in vain (logs in {cluster.layout.logs})"
            )
        time.sleep(0.1)
