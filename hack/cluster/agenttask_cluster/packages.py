"""Install what a cluster needs from the machine's own package manager, when missing."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from .errors import ClusterError
from .processes import run

CLUSTER = {
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "conntrack": "conntrack",
    "iptables": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "openssl": "openssl",
    "nsenter": "util-linux",
}
"""Commands or files, and the Debian packages that bring them."""


def find_missing(needs: Mapping[str, str], exists: Callable[[str], bool]) -> list[str]:
    return sorted({package for need, package in needs.items() if not exists(need)})


def is_present(need: str) -> bool:
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return (
        Path(need).exists() if need.startswith("/") else shutil.which(need, path=path) is not None
    )


def can_have(program: str) -> bool:
    """Whether a program is here or could be installed by `ensure`."""
    return is_present(program) or (os.geteuid() == 0 and shutil.which("apt-get") is not None)


def ensure(needs: Mapping[str, str], report: Callable[[str], None]) -> None:
    missing = find_missing(needs, is_present)
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(
            f"these Debian packages are missing, please install them: {' '.join(missing)}"
        )
    report(f"Installing {' '.join(missing)}")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "-qq", "update", env=env)
    run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing, env=env)
