"""The part of kind's configuration file that makes sense on one machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ClusterError


@dataclass(frozen=True)
class Settings:
    name: str = ""
    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read(path: Path) -> Settings:
    raise ClusterError("--config is not there yet")
