"""The digest: the courier's last words, at most 1 KiB, in its termination message.

It is rewritten at every step, so a pod that dies anywhere leaves the newest one.
Kubernetes gives all containers of a pod 12 KiB together; 1 KiB is our share also
in a pod of twelve containers. The checksum tells a whole digest from a cut one.
"""

import json
import zlib

from pydantic import ValidationError

from agenttask_api.reasons import Reason
from agenttask_api.schema import OpenAPIModel

MAX_DIGEST_BYTES = 1024


class BadDigest(ValueError):
    """The text is not a digest: cut, foreign or forged without its checksum."""


class Digest(OpenAPIModel):
    """What the operator must know even if nothing else came out of the pod."""

    run_key: str
    reason: Reason
    """A progress reason until `final`, then a terminal one."""
    final: bool = False
    phase: str = ""
    """Succeeded, Failed or Cancelled, once final."""
    verdict: str = ""
    message: str = ""
    started: str = ""
    """When the agent attached, RFC 3339; empty before."""
    base: str = ""
    commit: str = ""
    branch: str = ""
    """Only a branch that was really pushed."""
    pushing: str = ""
    """A branch that the push of `commit` to it was begun; emptied once its end is known."""
    files: int = 0
    insertions: int = 0
    deletions: int = 0
    tests: tuple[int, int, int] | None = None
    """Passed, failed, skipped."""
    gate: str = ""
    rigor: str = ""
    score: int | None = None
    """Of the workspace report."""
    operations: tuple[int, int, int] = (0, 0, 0)
    """Total, failed, denied."""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    result_sha256: str = ""
    """Of the AgentResult payload in NATS; empty when it was not stored."""
    stored: bool | None = None
    """Whether result and artifacts reached NATS; None when there is no NATS."""


def write_digest(digest: Digest) -> str:
    """Return the digest as text of at most 1 KiB; a long message is cut, visibly."""
    digest = digest.model_copy(update={"message": _encodable(digest.message)})
    text = _sealed(digest)
    while len(text.encode()) > MAX_DIGEST_BYTES:
        surplus = len(text.encode()) - MAX_DIGEST_BYTES
        keep = max(0, len(digest.message) - max(surplus, 16) - 3)
        if not digest.message:
            raise BadDigest(f"digest of {len(text)} bytes has no message left to cut")
        shortened = digest.message[:keep] + "..." if keep else ""
        digest = digest.model_copy(update={"message": shortened})
        text = _sealed(digest)
    return text


def parse_digest(text: str) -> Digest:
    """Return the digest that the text holds; raises BadDigest for anything else."""
    try:
        outer = json.loads(text)
        body, checksum = outer["d"], outer["c"]
        if checksum != _checksum(body):
            raise BadDigest("the checksum does not match")
        return Digest.model_validate(body)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise BadDigest(f"not a digest: {type(error).__name__}") from error


def _sealed(digest: Digest) -> str:
    body = digest.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return json.dumps({"d": body, "c": _checksum(body)}, separators=(",", ":"), ensure_ascii=False)


def _checksum(body: object) -> str:
    """Raise UnicodeEncodeError for text that no later writer could encode either."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{zlib.crc32(canonical.encode()):08x}"


def _encodable(message: str) -> str:
    """Escape the lone surrogates that stand for the odd bytes of a file name."""
    return message.encode(errors="backslashreplace").decode()
