"""The node: namespaces of its own for mounts, network and processes, as a container has.

Its first process keeps them open. When it dies the kernel kills every process
inside, unmounts every mount and removes every interface, so nothing stays behind.
"""

import subprocess
import time
from ipaddress import IPv4Network
from pathlib import Path

from . import cgroups
from .errors import ClusterError
from .layout import Layout
from .processes import Process, identify, is_alive, run, runs, succeeds

PRIVATE = ("/var/lib/kubelet", "/var/log/containers", "/var/lib/cni", "/run/containerd")
"""Paths that kubelet, containerd and CNI share with other clusters unless each sees its own."""

_JOIN = 'echo $$ > "$0" && exec "$@"'
"""Join the cgroup, then become the command."""

_DETACH = '"$@" &'
"""Leave the command to the node's first process, which reaps it: not every host's does."""


def start(layout: Layout, members: Path, pause: Path) -> Process:
    """Open the namespaces and return the process that keeps them."""
    options = ("--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "slave", "--mount-proc")
    child = _launch(layout, members, "node", ["unshare", *options, "--", str(pause)], path="")
    keeper = identify(child.pid)
    deadline = time.monotonic() + 10
    while keeper is None or not is_open(keeper, pause):
        if keeper is None or not is_alive(keeper) or time.monotonic() > deadline:
            raise ClusterError(f"cannot make namespaces: {read_tail(layout, 'node')}")
        time.sleep(0.02)
    return keeper


def is_open(keeper: Process, pause: Path) -> bool:
    """Whether the namespaces are there and ready; before that, entering would lead to the host's."""
    own, theirs = Path("/proc/self/ns/net"), Path(f"/proc/{keeper.pid}/ns/net")
    try:
        is_apart = own.readlink() != theirs.readlink()
    except OSError:
        return False
    return is_apart and succeeds(*enter(keeper, "grep", "-qx", pause.name, "/proc/1/comm"))


def spawn(layout: Layout, members: Path, keeper: Process, command: list[str], path: str) -> Process:
    """Start a daemon in the node, with a log of its own, and return it as the host sees it."""
    binary = Path(command[0])
    child = _launch(layout, members, binary.name, enter(keeper, "sh", "-c", _DETACH, "sh", *command), path)
    child.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for process in map(identify, cgroups.read_pids(members)):
            if process and runs(process, binary):
                return process
        time.sleep(0.01)
    raise ClusterError(f"{binary.name} ended at once:\n{read_tail(layout, binary.name)}")


def _launch(
    layout: Layout, members: Path, name: str, command: list[str], path: str
) -> "subprocess.Popen[bytes]":
    """Start a command as a member of the cluster's cgroup, away from our terminal."""
    env = {"PATH": f"{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    with (layout.logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            ["sh", "-c", _JOIN, str(members), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            cwd="/",
            start_new_session=True,
        )


def enter(node: Process, *command: str) -> list[str]:
    """The command line that runs a command inside the node."""
    spaces = f"/proc/{node.pid}/ns"
    options = (f"--mount={spaces}/mnt", f"--net={spaces}/net", f"--pid={spaces}/pid_for_children")
    return ["nsenter", *options, "--", *command]


def read_tail(layout: Layout, name: str, lines: int = 5) -> str:
    log = layout.logs / f"{name}.log"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""


def hide_shared_paths(layout: Layout, node: Process) -> None:
    """Mounts of the host still come in, none goes out; volumes may propagate as on any node."""
    run(*enter(node, "mount", "--make-rshared", "/"))
    for path in PRIVATE:
        own = layout.data / "private" / path.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        Path(path).mkdir(parents=True, exist_ok=True)
        run(*enter(node, "mount", "--bind", str(own), path))


def connect(layout: Layout, node: Process) -> None:
    """Link the node with the host: the API port to it, and pods of it to the host."""
    run("ip", "link", "add", layout.link, "type", "veth", "peer", "name", "eth0", "netns", str(node.pid))
    run("ip", "address", "add", f"{layout.host_address}/30", "dev", layout.link)
    run("ip", "link", "set", layout.link, "up")
    run(*enter(node, "sh", "-ec", _inside(layout)))
    for network in (layout.pods, layout.services):
        run("ip", "route", "replace", str(network), "via", str(layout.node_address), "dev", layout.link)
    Path(f"/proc/sys/net/ipv4/conf/{layout.link}/route_localnet").write_text("1")
    run("nft", "-f", "-", input=render_rules(layout))


def _inside(layout: Layout) -> str:
    return f"""
ip link set lo up
ip address add {layout.node_address}/30 dev eth0
ip link set eth0 up
ip route add default via {layout.host_address}
echo 1 > /proc/sys/net/ipv4/ip_forward
"""


def render_rules(layout: Layout) -> str:
    """127.0.0.1:<port> leads to the API server; what leaves the node beyond the host is masqueraded."""
    return f"""
add table ip {layout.table}
delete table ip {layout.table}
table ip {layout.table} {{
  chain output {{
    type nat hook output priority -100;
    ip daddr 127.0.0.1 tcp dport {layout.api_port} dnat to {layout.node_address}:6443
  }}
  chain postrouting {{
    type nat hook postrouting priority 100;
    oifname "{layout.link}" ip saddr 127.0.0.0/8 masquerade
    oifname != "{layout.link}" ip saddr {layout.network} masquerade
  }}
}}
"""


def disconnect(layout: Layout) -> None:
    """Remove what the host keeps of the link; fine when nothing is there."""
    for command in (["ip", "link", "delete", layout.link], ["nft", "delete", "table", "ip", layout.table]):
        subprocess.run(command, capture_output=True)


def parse_routes(text: str) -> list[IPv4Network]:
    """Networks named in the output of `ip -4 route`; the default route is none of them."""
    words = [line.split() for line in text.splitlines() if line.strip()]
    kinds = {"local", "broadcast", "unreachable", "blackhole", "prohibit", "throw", "unicast"}
    targets = [line[1] if line[0] in kinds else line[0] for line in words]
    return [IPv4Network(target, strict=False) for target in targets if target != "default"]


def read_used_networks() -> list[IPv4Network]:
    return parse_routes(run("ip", "-4", "route", "show", "table", "all"))


