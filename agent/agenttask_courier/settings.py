"""What the pod template tells the courier: environment and task document."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agenttask_api import names
from agenttask_api.taskdocument import MAX_DOCUMENT_BYTES, TaskDocument


class BadSettings(ValueError):
    """The pod template and this program do not fit together."""


@dataclass(frozen=True)
class Settings:
    """The environment of `serve`, parsed once."""

    vllm_url: str
    nats_url: str = ""
    """Empty = there is no NATS."""
    cluster_id: str = ""
    pod_name: str = ""
    pod_uid: str = ""
    index: int = 0

    @classmethod
    def parse(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the variables of docs/contract.md; raises BadSettings naming the bad one."""
        vllm_url = environment.get(names.ENV_VLLM_URL, "").rstrip("/")
        if not vllm_url.startswith(("http://", "https://")):
            raise BadSettings(f"{names.ENV_VLLM_URL} is no http or https URL: {vllm_url!r}")
        index = environment.get(names.ENV_INDEX, "") or "0"
        if not index.isdecimal():
            raise BadSettings(f"{names.ENV_INDEX} is no number: {index!r}")
        return cls(
            vllm_url=vllm_url,
            nats_url=environment.get(names.ENV_NATS_URL, ""),
            cluster_id=environment.get(names.ENV_CLUSTER, ""),
            pod_name=environment.get(names.ENV_POD_NAME, ""),
            pod_uid=environment.get(names.ENV_POD_UID, ""),
            index=int(index),
        )


def read_document(path: Path) -> TaskDocument:
    """Return the task document; raises BadSettings when it is missing, huge or malformed."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadSettings(f"no task document at {path}: {error.strerror}") from error
    if len(text) > MAX_DOCUMENT_BYTES:
        raise BadSettings(f"the task document has {len(text)} bytes; at most {MAX_DOCUMENT_BYTES}")
    try:
        return TaskDocument.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadSettings(f"task document: {where}: {first['msg']}") from error
