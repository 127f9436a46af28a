"""Fixtures for the tests of hack/cluster: no root, no network, no cluster."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agenttask_cluster.layout import Layout


@pytest.fixture
def make_layout(tmp_path: Path) -> Callable[..., Layout]:
    def make(name: str = "demo", number: int = 7) -> Layout:
        return Layout(name, number, tmp_path)

    return make


@pytest.fixture
def layout(make_layout: Callable[..., Layout]) -> Layout:
    """A layout whose keys and certificates are there, as placeholders."""
    place = make_layout()
    place.pki.mkdir(parents=True)
    for user in ("ca", "admin", "controller-manager", "scheduler", "proxy", "kubelet"):
        (place.pki / f"{user}.crt").write_text("certificate")
        (place.pki / f"{user}.key").write_text("key")
    return place
