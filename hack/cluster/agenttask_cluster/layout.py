"""Everything about a cluster that follows from its name and its number.

Pure, except for looking at which numbers are free. All daemons of a cluster run
in a network namespace of its own, so only what the host sees needs to differ
between clusters: one API port on 127.0.0.1, one link, and one /16 of addresses.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from .errors import ClusterError

STATE = Path("/var/lib/agenttask-cluster")
"""Where clusters live. Short, because a unix socket's path holds 108 characters."""

NUMBERS = range(0, 100)
FIRST_API_PORT = 17443
"""Below the ephemeral ports, so that no client of this machine takes it by chance."""

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,49}")


@dataclass(frozen=True)
class Layout:
    """A cluster's name and number, and what follows from them."""

    name: str
    number: int
    state: Path = STATE

    @property
    def root(self) -> Path:
        return self.state / self.name

    @property
    def node(self) -> str:
        return f"{self.name}-control-plane"

    @property
    def context(self) -> str:
        return f"kind-{self.name}"

    @property
    def api_port(self) -> int:
        return FIRST_API_PORT + self.number

    @property
    def link(self) -> str:
        """The host's end of the link to the node; the kernel allows 15 characters."""
        return f"at-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"

    @property
    def table(self) -> str:
        """The nftables table on the host."""
        return f"agenttask-{self.link}"

    @property
    def cgroup(self) -> str:
        return f"agenttask-{self.name}"

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(f"10.{100 + self.number}.0.0/16")

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network((self.network.network_address, 22))

    @property
    def services(self) -> IPv4Network:
        return IPv4Network((self.network.network_address + 0x8000, 20))

    @property
    def api_service(self) -> IPv4Address:
        return self.services[1]

    @property
    def dns_service(self) -> IPv4Address:
        return self.services[10]

    @property
    def host_address(self) -> IPv4Address:
        """Where pods reach this machine."""
        return self.network[0xFF01]

    @property
    def node_address(self) -> IPv4Address:
        return self.network[0xFF02]

    @property
    def server(self) -> str:
        """The API server's address for clients on this machine."""
        return f"https://127.0.0.1:{self.api_port}"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pod_logs(self) -> Path:
        return self.root / "pods"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def socket(self) -> Path:
        return self.root / "containerd.sock"

    @property
    def record(self) -> Path:
        """What `create` leaves for the commands after it."""
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.config / "admin.kubeconfig"


def check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ClusterError(
            f"{name!r} is not a valid cluster name, cluster names must match `^[a-z0-9.-]+$`"
            " and have at most 50 characters"
        )
    return name


def preferred_numbers(name: str) -> list[int]:
    """Every number, in an order that only the name decides."""
    first = int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(NUMBERS)
    return [(first + step) % len(NUMBERS) for step in NUMBERS]


def choose_layout(
    name: str,
    used_numbers: Iterable[int],
    used_networks: Iterable[IPv4Network],
    state: Path = STATE,
) -> Layout:
    """The first layout for this name that meets neither a cluster nor a route."""
    taken, networks = set(used_numbers), list(used_networks)
    for number in preferred_numbers(name):
        layout = Layout(name, number, state)
        if number not in taken and not any(layout.network.overlaps(other) for other in networks):
            return layout
    raise ClusterError(f"no free network for cluster {name!r}: delete another cluster first")
