"""Which numbers of clusters have their API port taken by something else on this machine."""

import socket

from .layout import NUMBERS, Layout


def busy_numbers() -> set[int]:
    return {number for number in NUMBERS if not is_port_free(Layout("", number).api_port)}


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
