"""What `clone` found, for the courier and the operator."""

from agenttask_api.reasons import Reason
from agenttask_api.schema import OpenAPIModel


class Submodule(OpenAPIModel):
    """One submodule that was fetched."""

    path: str
    """From the repository's root; a submodule's own submodule has a longer one."""
    commit: str
    repository: str
    """Name of its bare repository below `/pristine/modules`."""


class CloneFacts(OpenAPIModel):
    """Written to names.CLONE_FACTS after a good clone."""

    base_commit: str
    """The commit that spec.repo.revision meant at clone time."""
    revision_ref: str = ""
    """Its full ref name at the remote; empty when the revision was a commit id."""
    output_ref_commit: str = ""
    """What the output branch pointed to at clone time; empty = it did not exist.
    The push compares with it and changes nothing if somebody else pushed."""
    submodules: tuple[Submodule, ...] = ()
    """Outer ones before those inside them."""


class CloneFailure(OpenAPIModel):
    """The clone container's termination message after a failed clone."""

    reason: Reason
    message: str
