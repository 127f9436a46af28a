"""What a run may do with containers, and how its own are told from everybody's.

Everything a run makes carries the two labels of `agenttask_api.engine`.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agenttask_agent.tools import validators
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.validators import Image
from agenttask_api.engine import KIND_LABEL, RUN_LABEL
from agenttask_api.schema import GROUP

WRITES_LABEL = f"{GROUP}/writes-workspace"
RUN_KEY = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
TAG = re.compile(
    r"(?=.{1,100}\Z)[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,40})?"
)
MIB = 1024 * 1024


@dataclass(frozen=True)
class DockerSettings:
    """The limits of one run. What is off stays off whatever the model asks for."""

    run_key: str
    """Unique among all runs that share an engine: a pod's uid, or a random word."""
    images: tuple[str, ...] = ()
    """Globs of full names (`docker.io/library/*`) that may be used, and pulled if they are
    missing. Empty = only what the run builds itself, `FROM scratch`."""
    run_network: bool = False
    """Off = containers have loopback only. On = the engine's own network, unfiltered."""
    build_network: bool = False
    """As `run_network`, for `RUN` and `ADD` in a build."""
    layer_cache: bool = False
    """On = builds are faster, and their layers, which carry no label, stay behind."""
    memory_mib: int = 1024
    cpus: float = 1.0
    processes: int = 256
    containers: int = 8
    """Running at the same time."""
    context_bytes: int = 256 * MIB
    run_seconds: float = 300.0
    build_seconds: float = 600.0
    exec_seconds: float = 60.0
    lifetime_seconds: int = 86_400
    """After that podman itself ends a container, should nobody be left to do it."""

    def __post_init__(self) -> None:
        if not RUN_KEY.fullmatch(self.run_key):
            raise ValueError(f"{self.run_key!r} cannot be a run's key: it is no DNS label")

    @property
    def labels(self) -> tuple[str, ...]:
        """The filter options that leave only this run's things."""
        return ("--filter", f"label={RUN_LABEL}={self.run_key}")

    def labelled(self, kind: str) -> tuple[str, ...]:
        """Return the options that mark a new thing as this run's."""
        return (f"--label={RUN_LABEL}={self.run_key}", f"--label={KIND_LABEL}={kind}")

    def own_tag(self, tag: str) -> str:
        """Return the full name of an image this run builds; nobody else's can be moved."""
        if not TAG.fullmatch(tag):
            raise ToolError(f"{tag[:100]!r} is not a tag like app or app:1")
        return f"localhost/agenttask/{self.run_key}/{tag if ':' in tag else tag + ':latest'}"

    def own_name(self, name: str) -> str:
        """Return the full name of a container this run starts."""
        if not NAME.fullmatch(name):
            raise ToolError(f"{name[:100]!r} is not a name like web-1")
        return f"agenttask-{self.run_key}-{name}"

    def allows(self, image: Image) -> bool:
        """Say whether a foreign image is on the list."""
        return any(fnmatchcase(image.repository, pattern) for pattern in self.images)

    def base_image(self, text: str) -> str:
        """Return the full name of an image that may be used though the run has not built it."""
        image = validators.image(text)
        if not self.allows(image):
            listed = ", ".join(self.images) or "none are"
            raise Denied(f"{text[:200]!r} was not built in this run and is not allowed ({listed})")
        return image.full
