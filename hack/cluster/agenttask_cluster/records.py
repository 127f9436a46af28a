"""What is written down about each cluster, and which of them live."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import ClusterError
from .layout import STATE, Layout
from .processes import Process, is_alive


@dataclass(frozen=True)
class Record:
    """What `create` wrote down about a cluster."""

    number: int
    node: Process | None = None
    ready: bool = False
    """Set at the end of `create`; without it the cluster is a ruin."""

    @property
    def is_live(self) -> bool:
        return self.ready and self.node is not None and is_alive(self.node)


def parse(text: str) -> Record | None:
    """The record; none when a power cut or another version left something else."""
    try:
        content = json.loads(text)
        node = Process(**content["node"]) if content["node"] else None
        return Record(content["number"], node, content["ready"])
    except (ValueError, TypeError, KeyError):
        return None


def write(layout: Layout, record: Record) -> None:
    unfinished = layout.record.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(asdict(record)))
    Path(unfinished).replace(layout.record)


def read(name: str, state: Path = STATE) -> Record | None:
    try:
        return parse((state / name / "cluster.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise ClusterError(
            "clusters belong to root here: run this as root, for example with sudo"
        ) from None


def read_all(state: Path = STATE) -> dict[str, Record]:
    names = sorted(path.name for path in state.iterdir() if path.is_dir()) if state.is_dir() else []
    found = {name: read(name, state) for name in names}
    return {name: record for name, record in found.items() if record is not None}


def live_names(state: Path = STATE) -> list[str]:
    return [name for name, record in read_all(state).items() if record.is_live]


def live_layout(name: str, state: Path = STATE) -> Layout | None:
    record = read(name, state)
    return Layout(name, record.number, state) if record and record.is_live else None


def require_layout(name: str) -> Layout:
    layout = live_layout(name)
    if layout is None:
        raise ClusterError(f'no nodes found for cluster "{name}"')
    return layout
