"""What is another's where the courier runs inside another program instead of a pod.

In a pod every field keeps its default. A local run (`agenttask run`) has no Secrets
and no kubelet: it gives git another way to the repository, keeps the model's key in
memory, and wants to be told what happens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agenttask_api.door import DoorEvent
from agenttask_api.status import Usage
from agenttask_courier import push
from agenttask_courier.credentials import GitAccess
from agenttask_courier.decision import Outcome, Step
from agenttask_courier.git import Git
from agenttask_courier.result import Account


class Push(Protocol):
    """Brings the judged commit to where it belongs."""

    def __call__(
        self, git: Git, url: str, commit: str, branch: str, expected: str, secrets: tuple[str, ...]
    ) -> str:
        """Return why it was refused, or an empty text."""
        ...


@dataclass(frozen=True)
class Embedding:
    """The surroundings of one courier."""

    access: GitAccess | None = None
    """How git reaches the repository; None = by the mounted Secret."""
    arrived: Callable[[Git, str, str], bool | None] = push.arrived
    """Whether a commit is on a branch where `push` brings it; None = it cannot be said."""
    push: Push = push.push
    model_key: str = field(default="", repr=False)
    """Sent instead of the mounted one's content; also masked and searched for."""
    on_event: Callable[[DoorEvent], None] = lambda _: None
    on_step: Callable[[Step], None] = lambda _: None
    on_usage: Callable[[Usage], None] = lambda _: None
    on_ended: Callable[[Outcome], Outcome] = lambda outcome: outcome
    """Has the last word: whoever stopped a run knows why, the courier does not."""
    on_account: Callable[[Account], None] = lambda _: None
    """Gets everything that the result is made of, before the receipt is given."""
