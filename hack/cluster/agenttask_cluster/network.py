"""The link between a node and the host, and the host's rules for it."""

import subprocess
from ipaddress import IPv4Network
from pathlib import Path

from .layout import Layout
from .node import enter
from .processes import Process, run


def connect(layout: Layout, keeper: Process) -> None:
    """Link the node with the host: the API port to it, and pods of it to the host."""
    run(
        "ip",
        "link",
        "add",
        layout.link,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        str(keeper.pid),
    )
    run("ip", "address", "add", f"{layout.host_address}/30", "dev", layout.link)
    run("ip", "link", "set", layout.link, "up")
    run(*enter(keeper, "sh", "-ec", _inside(layout)))
    for network in (layout.pods, layout.services):
        run(
            "ip",
            "route",
            "replace",
            str(network),
            "via",
            str(layout.node_address),
            "dev",
            layout.link,
        )
    Path(f"/proc/sys/net/ipv4/conf/{layout.link}/route_localnet").write_text("1", encoding="utf-8")
    run("nft", "-f", "-", text=render_rules(layout))


def _inside(layout: Layout) -> str:
    return f"""
ip link set lo up
ip address add {layout.node_address}/30 dev eth0
ip link set eth0 up
ip route add default via {layout.host_address}
echo 1 > /proc/sys/net/ipv4/ip_forward
"""


def render_rules(layout: Layout) -> str:
    """Lead 127.0.0.1:<port> to the API server; masquerade what goes beyond the host."""
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
    for command in (
        ["ip", "link", "delete", layout.link],
        ["nft", "delete", "table", "ip", layout.table],
    ):
        subprocess.run(command, capture_output=True)


def parse_routes(text: str) -> list[IPv4Network]:
    """Networks named in the output of `ip -4 route`; the default route is none of them."""
    words = [line.split() for line in text.splitlines() if line.strip()]
    kinds = {"local", "broadcast", "unreachable", "blackhole", "prohibit", "throw", "unicast"}
    targets = [line[1] if line[0] in kinds else line[0] for line in words]
    return [IPv4Network(target, strict=False) for target in targets if target != "default"]


def read_used_networks() -> list[IPv4Network]:
    return parse_routes(run("ip", "-4", "route", "show", "table", "all"))
