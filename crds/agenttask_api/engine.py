"""How a run's things at a container engine are marked, so that both halves find them.

The agent marks what it makes and removes it; the courier removes what an agent that was
killed has left. Everything carries two labels: whose it is and what it is. The second one
matters: containers inherit the labels of their image, so a container that a person
started from a run's image carries the first label too.
"""

import hashlib
from typing import TYPE_CHECKING

from agenttask_api.schema import GROUP

if TYPE_CHECKING:
    from agenttask_api.taskdocument import TaskIdentity

RUN_LABEL = f"{GROUP}/run"
KIND_LABEL = f"{GROUP}/kind"
CONTAINER, IMAGE = "container", "image"
DOCKER_HOST = r"^(tcp://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})?$"
"""A pod has no key for ssh:// and no folder of the node for unix://."""


def run_word(identity: "TaskIdentity", index: str) -> str:
    """Return an engine's name of a run: each attempt of it has the same, no other run has.

    `index` is the agent's number in its Job, "0" or "" for a single one.
    """
    who = f"{identity.uid}/{identity.run_key}/{index or '0'}"
    return hashlib.sha256(who.encode()).hexdigest()[:20]
