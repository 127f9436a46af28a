"""Which kinds there are, where they live in the API, and which part of them we watch."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from agenttask_api.names import MANAGED_BY, MANAGED_BY_LABEL
from agenttask_api.status import TERMINAL_PHASES
from agenttask_operator.tables import ROSTER_COLUMNS

Object = dict[str, Any]

OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"


@dataclass(frozen=True)
class Kind:
    """Where a kind lives in the API."""

    prefix: str
    plural: str
    selector: str = ""
    """Label selector of every list and watch of this kind."""
    fields: str = ""
    """Field selector, likewise."""
    columns: tuple[str, ...] = ()
    """Lists and watches bring these printer columns and the metadata only; empty = all there is."""
    title: str = ""
    """What people call the watch, where its plural does not say it."""

    @property
    def name(self) -> str:
        """What people call the watch."""
        return self.title or self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection or of one object."""
        parts = [self.prefix]
        parts += ["namespaces", quote(namespace, safe="")] if namespace else []
        parts += [self.plural]
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/" + "/".join(parts)


GROUP_PATH = "apis/agenttask.dev/v1alpha1"
TASKS = Kind(GROUP_PATH, "agenttasks")
UNFINISHED = Kind(
    GROUP_PATH,
    "agenttasks",
    fields=",".join(sorted(f"status.phase!={phase}" for phase in TERMINAL_PHASES)),
    title="unfinished agenttasks",
)
"""Tasks that have not ended, whole."""
ROSTER = Kind(GROUP_PATH, "agenttasks", columns=ROSTER_COLUMNS, title="roster of agenttasks")
"""All tasks, in a line each."""
CLASSES = Kind(GROUP_PATH, "agentclasses")
JOBS = Kind("apis/batch/v1", "jobs", OURS)
PODS = Kind("api/v1", "pods", OURS)
EVENTS = Kind("api/v1", "events")
NAMESPACES = Kind("api/v1", "namespaces")
CONFIG_MAPS = Kind("api/v1", "configmaps")
POLICIES = Kind("apis/networking.k8s.io/v1", "networkpolicies")
LEASES = Kind("apis/coordination.k8s.io/v1", "leases")
