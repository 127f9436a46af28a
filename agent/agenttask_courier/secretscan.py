"""Look for secrets in everything that a push would send, commits in between included.

Two kinds: values that this run was given, in the forms in which they would stand in a
file; and tokens whose issuers gave them a form that nothing else has (the forms are
those of gitleaks' rules). A token that the changed files already held is not new.
An answer names kinds, never a value.
"""

import base64
import mmap
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from agenttask_courier.changes import GITLINK, Changes
from agenttask_courier.git import Git
from agenttask_courier.intake import new_objects

_ABSENT = "000000"
_KINDS: dict[str, bytes] = {
    "a private key": rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s\\]{64}",
    "an AWS access key": rb"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "a GitHub token": rb"\b(?:gh[pousr]_[0-9A-Za-z]{36}|github_pat_\w{82})\b",
    "a GitLab token": rb"\bglpat-[\w-]{20}",
    "a Slack token": rb"\bxox[abeprs]-[0-9A-Za-z-]{20}",
    "a Google API key": rb"\bAIza[\w-]{35}",
    "an npm token": rb"\bnpm_[0-9A-Za-z]{36}\b",
    "a PyPI token": rb"\bpypi-AgEIcHlwaS5vcmc[\w-]{50}",
    "a Stripe key": rb"\b[sr]k_live_[0-9A-Za-z]{20}",
    "a NATS seed": rb"\bS[AUNOX][A-Z2-7]{56}\b",
}
_FORMS = {kind: re.compile(form) for kind, form in _KINDS.items()}
_EXAMPLE = b"EXAMPLE"
"""How the tokens in AWS's own documentation end."""


def leaked(git: Git, changes: Changes, secrets: tuple[str, ...], folder: Path) -> str:
    """Return what kind of secret the change holds, or an empty text; `folder` is for scratch."""
    folder.mkdir(parents=True, exist_ok=True)
    sent = new_objects(git, changes.base, changes.commit)
    known, found = _search(git, sent, [n for s in secrets for n in disguises(s)], folder)
    if known:
        return "the change holds a secret that this run was given"
    if found:
        _, before = _search(git, _replaced(changes), [], folder)
        found -= before
    kinds = sorted({kind for kind, _ in found})
    return f"the change holds what looks like {' and '.join(kinds)}" if kinds else ""


def disguises(secret: str) -> tuple[bytes, ...]:
    """Return the forms in which a secret would stand in a file."""
    plain = secret.encode()
    encoded = base64.b64encode(plain).rstrip(b"=")[:-1]
    return tuple({plain, encoded, quote(secret, safe="").encode()})


def tokens(text: "bytes | mmap.mmap") -> set[tuple[str, bytes]]:
    """Return kind and value of every token in the text."""
    return {
        (kind, match[0])
        for kind, form in _FORMS.items()
        for match in form.finditer(text)
        if not match[0].endswith(_EXAMPLE)
    }


def _replaced(changes: Changes) -> bytes:
    """Return the ids, one a line, of what the changed paths held before."""
    held = (e.old_id for e in changes.entries if e.old_mode not in (_ABSENT, GITLINK))
    return "".join(f"{object_id}\n" for object_id in held).encode()


def _search(
    git: Git, ids: bytes, needles: Iterable[bytes], folder: Path
) -> tuple[bool, set[tuple[str, bytes]]]:
    """Return whether a needle is in the objects, and which tokens are."""
    if not ids:
        return False, set()
    with tempfile.TemporaryFile(dir=folder) as content:
        git.run("cat-file", "--batch", "--buffer", stdin=ids, stdout=content)
        content.flush()
        with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as text:
            return any(text.find(needle) != -1 for needle in needles), tokens(text)
