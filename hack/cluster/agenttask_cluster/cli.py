"""kind's commands, each in a few lines, with kind's words."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import arguments, binaries, down, images, records, settings, up
from .arguments import Arguments
from .errors import ClusterError
from .kubectl import merge_context, remove_context
from .layout import Layout, check_name
from .progress import Progress

USAGE = """\
kind's command line for real Kubernetes clusters on this machine, without Docker.

Usage: kind COMMAND [flags]

  create cluster [--name N] [--kubeconfig FILE] [--config FILE] [--wait 5m]
  delete cluster [--name N] [--kubeconfig FILE]
  delete clusters [--all | NAME...]
  get clusters | get nodes [--name N] | get kubeconfig [--name N]
  export kubeconfig [--name N] [--kubeconfig FILE]
  export logs [DIR] [--name N]
  load docker-image IMAGE... [--name N]
  load image-archive FILE... [--name N]
  binary [NAME]   print where kubectl, nats-server, coredns, ... are; build them when needed
  version

The default name is "kind", or $KIND_CLUSTER_NAME. -q is for quiet.
$AGENTTASK_CLUSTER_UPSTREAM_DNS: where the cluster's DNS asks for names outside.
"""


def main(line: list[str]) -> int:
    # Ended from outside, a half made cluster is still taken down on the way out.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        given = arguments.parse(line)
        HANDLERS[given.command](given, Progress(quiet=given.has("quiet")))
    except (ClusterError, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def name_of(given: Arguments) -> str:
    return check_name(given.flags.get("name") or os.environ.get("KIND_CLUSTER_NAME") or "kind")


def kubeconfig_of(given: Arguments) -> Path:
    named = given.flags.get("kubeconfig") or os.environ.get("KUBECONFIG", "").split(":")[0]
    return Path(named) if named else Path.home() / ".kube" / "config"


def create_cluster(given: Arguments, progress: Progress) -> None:
    wait = arguments.parse_duration(given.flags.get("wait", "0s"))
    config = _read_settings(given, progress)
    name = check_name(given.flags.get("name") or config.name or name_of(given))
    progress.say(f'Creating cluster "{name}" ...')
    with progress:
        place = up.create(name, config, wait, given.has("retain"), progress.step)
    _write_context(place, kubeconfig_of(given))
    progress.say(f'Set kubectl context to "{place.context}"')
    progress.say(
        f"You can now use your cluster with:\n\nkubectl cluster-info --context {place.context}"
    )


def _read_settings(given: Arguments, progress: Progress) -> settings.Settings:
    if "config" not in given.flags:
        return settings.Settings()
    with progress:
        kubectl = binaries.ensure_binaries(["kubectl"], progress.step)["kubectl"]
    return settings.read(Path(given.flags["config"]), kubectl)


def _write_context(place: Layout, target: Path) -> None:
    kubectl = binaries.ensure_binaries(["kubectl"], print)["kubectl"]
    with binaries.locked(binaries.CACHE / "kubeconfig.lock"):
        merge_context(kubectl, place.kubeconfig, target)


def delete_cluster(given: Arguments, progress: Progress) -> None:
    _delete(name_of(given), kubeconfig_of(given), progress)


def delete_clusters(given: Arguments, progress: Progress) -> None:
    names = (
        list(records.read_all()) if given.has("all") else [check_name(name) for name in given.words]
    )
    if not names and not given.has("all"):
        raise ClusterError("no cluster names provided")
    for name in names:
        _delete(name, kubeconfig_of(given), progress)
    quoted = " ".join(f'"{name}"' for name in names)
    progress.say(f"Deleted clusters: [{quoted}]")


def _delete(name: str, kubeconfig: Path, progress: Progress) -> None:
    progress.say(f'Deleting cluster "{name}" ...')
    down.delete(name)
    kubectl = binaries.find_binary("kubectl")
    if kubectl.exists():
        with binaries.locked(binaries.CACHE / "kubeconfig.lock"):
            remove_context(kubectl, kubeconfig, Layout(name, 0).context)


def get_clusters(_given: Arguments, progress: Progress) -> None:
    names = records.live_names()
    if not names:
        progress.say("No kind clusters found.")
    for name in names:
        print(name)


def get_nodes(given: Arguments, progress: Progress) -> None:
    names = records.live_names() if given.has("all-clusters") else [name_of(given)]
    places = [place for place in map(records.live_layout, names) if place]
    if not places:
        progress.say(f'No kind nodes found for cluster "{name_of(given)}".')
    for place in places:
        print(place.node)


def _require_control_plane(name: str) -> Layout:
    place = records.live_layout(name)
    if place is None:
        raise ClusterError(
            f"could not locate any control plane nodes for cluster named '{name}'."
            " Use the --name option to select a different cluster"
        )
    return place


def get_kubeconfig(given: Arguments, _progress: Progress) -> None:
    print(_require_control_plane(name_of(given)).kubeconfig.read_text(), end="")


def export_kubeconfig(given: Arguments, progress: Progress) -> None:
    place = _require_control_plane(name_of(given))
    _write_context(place, kubeconfig_of(given))
    progress.say(f'Set kubectl context to "{place.context}"')


def export_logs(given: Arguments, progress: Progress) -> None:
    place = records.require_layout(name_of(given))
    target = Path(given.words[0]) if given.words else Path(tempfile.mkdtemp(prefix="kind-logs-"))
    progress.say(f'Exporting logs for cluster "{place.name}" to:')
    folder = target / place.node
    shutil.copytree(place.logs, folder, dirs_exist_ok=True)
    shutil.copytree(
        place.pod_logs, folder / "pods", dirs_exist_ok=True, ignore_dangling_symlinks=True
    )
    print(target)


def load_docker_image(given: Arguments, progress: Progress) -> None:
    if not given.words:
        raise ClusterError("a list of image names is required")
    place = records.require_layout(name_of(given))
    images.load(place, binaries.find_binary("ctr"), list(given.words), binaries.CACHE, progress.say)


def load_image_archive(given: Arguments, _progress: Progress) -> None:
    if not given.words:
        raise ClusterError("a list of image archives is required")
    place = records.require_layout(name_of(given))
    for archive in given.words:
        images.import_archive(place, binaries.find_binary("ctr"), Path(archive))


def binary(given: Arguments, progress: Progress) -> None:
    for name in given.words:
        if name not in binaries.PROGRAMS:
            raise ClusterError(
                f"unknown program {name!r}, known are {', '.join(binaries.PROGRAMS)}"
            )
    with progress:
        everything = [name for name in binaries.PROGRAMS if name not in binaries.ON_DEMAND]
        paths = binaries.ensure_binaries(given.words or everything, progress.step)
    for path in paths.values():
        print(path)


def version(_given: Arguments, _progress: Progress) -> None:
    print(f"kind (agenttask) kubernetes {binaries.KUBERNETES_VERSION}")


def usage(_given: Arguments, _progress: Progress) -> None:
    print(USAGE, end="")


HANDLERS: dict[tuple[str, ...], Callable[[Arguments, Progress], None]] = {
    ("create", "cluster"): create_cluster,
    ("delete", "cluster"): delete_cluster,
    ("delete", "clusters"): delete_clusters,
    ("get", "clusters"): get_clusters,
    ("get", "nodes"): get_nodes,
    ("get", "kubeconfig"): get_kubeconfig,
    ("export", "kubeconfig"): export_kubeconfig,
    ("export", "logs"): export_logs,
    ("load", "docker-image"): load_docker_image,
    ("load", "image-archive"): load_image_archive,
    ("version",): version,
    ("binary",): binary,
    ("help",): usage,
}
