"""References from a task or a class to other objects of its namespace."""

from typing import Annotated

from pydantic import Field

from agenttask_api.schema import APIModel

Name = Annotated[str, Field(min_length=1, max_length=253)]


class LocalRef(APIModel):
    """An object in the task's own namespace."""

    name: Name


class KeyRef(APIModel):
    """One key of a ConfigMap or Secret in the task's own namespace."""

    name: Name
    key: Name


class CARef(APIModel):
    """A ConfigMap with the certificate authority of a git server."""

    name: Name
    key: Name = "ca.crt"


class PromptFrom(APIModel):
    """The prompt, kept in a ConfigMap."""

    config_map_key_ref: KeyRef


class ContextFrom(APIModel):
    """More context: a ConfigMap's key, or the record of a finished task."""

    config_map_key_ref: KeyRef | None = None
    task_ref: LocalRef | None = None
