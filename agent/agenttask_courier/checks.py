"""Run the checks: on the candidate and, where that could excuse it, on the base."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from agenttask_api.clonefacts import Submodule
from agenttask_api.taskdocument import TaskDocument
from agenttask_api.verification import Verification
from agenttask_courier import verify
from agenttask_courier.changes import Changes
from agenttask_courier.comparison import Checked, compared
from agenttask_courier.fullness import unless_full
from agenttask_courier.git import Git
from agenttask_courier.places import Places


@dataclass(frozen=True)
class Bench:
    """What checks are run with."""

    git: Git
    places: Places
    document: TaskDocument
    submodules: Sequence[Submodule] = ()

    async def check(self, found: Changes, seconds: float) -> Checked:
        """Return what the task's checks say of a commit.

        Raises TimeoutError after so many seconds, VolumeFull, VerifierGone and GitFailed.
        """
        checkout = await asyncio.to_thread(
            verify.make_checkout, self.git, self.places, self.document, found, self.submodules
        )
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                asking = verify.ask_verifier(self.places, self.document, checkout)
                size = self.document.workspace_bytes
                answer = await unless_full(asking, self.places.checkout, size)
            return await asyncio.to_thread(verify.conclude, answer, checkout)
        finally:
            for folder in (checkout.directory, checkout.reports):
                verify.remove(folder)

    async def compare(self, found: Changes, checked: Checked, seconds: float) -> Verification:
        """Return the verification in the light of the base; raises as `check` does."""
        base = Changes(found.base, found.base, (), 0, 0)
        try:
            return compared(checked, await self.check(base, seconds))
        except TimeoutError:
            said = f"{checked.verification.message}; no time was left to compare with the base"
            return checked.verification.model_copy(update={"message": said})
