"""What a failed talk with a git server means, in one word and in a sentence.

git reports failures as English prose, so this is the only place that reads it
(`LC_ALL=C` keeps it English). Clone and push share it.
"""

import re
import socket
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from agenttask_courier.credentials import masked
from agenttask_courier.git import GitFailed, GitTimeout
from agenttask_courier.journal import clean


class Trouble(StrEnum):
    """Kinds of failure that a caller treats differently."""

    AUTH = "auth"
    NO_SUCH_REF = "no such ref"
    NO_SUCH_REPOSITORY = "no such repository"
    TLS = "tls"
    HOST_KEY = "host key"
    DNS = "dns"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    SERVER_ERROR = "server error"
    DISK_FULL = "disk full"
    OTHER = "other"


TRANSIENT = frozenset(
    {
        Trouble.DNS,
        Trouble.REFUSED,
        Trouble.TIMEOUT,
        Trouble.INTERRUPTED,
        Trouble.SERVER_ERROR,
    }
)
"""Worth another try: a server or network may be better in a moment."""

_PATTERNS: tuple[tuple[Trouble, str], ...] = (
    (Trouble.DISK_FULL, r"No space left on device|Disk quota exceeded"),
    (Trouble.HOST_KEY, r"Host key verification failed|no .* host key is known"),
    (Trouble.AUTH, r"Authentication failed|could not read (Username|Password)|Access denied"),
    (Trouble.AUTH, r"Permission denied \(|returned error: 40[13]|terminal prompts disabled"),
    (Trouble.DNS, r"Could not resolve host|Temporary failure in name resolution"),
    (Trouble.DNS, r"Name or service not known"),
    (Trouble.REFUSED, r"Connection refused|No route to host|Network is unreachable"),
    (Trouble.TIMEOUT, r"timed? ?out|Operation too slow|Timeout was reached"),
    (Trouble.SERVER_ERROR, r"returned error: 5\d\d|error: 5\d\d"),
    # A busy or dying server drops TLS connections too: that says nothing of its certificate.
    (Trouble.INTERRUPTED, r"recv error|non-properly terminated|SSL_read|unexpected eof"),
    (Trouble.TLS, r"certificate|SSL|TLS|CAfile"),
    (Trouble.NO_SUCH_REPOSITORY, r"returned error: 404|repository '.*' not found"),
    (Trouble.NO_SUCH_REPOSITORY, r"does not appear to be a git repository|Repository not found"),
    (Trouble.NO_SUCH_REF, r"couldn't find remote ref|not our ref|unadvertised object"),
    (Trouble.REFUSED, r"Failed to connect|Could not connect"),
    (Trouble.INTERRUPTED, r"early EOF|hung up|Connection reset|RPC failed|Empty reply|unexpected"),
)

_WORDS: dict[Trouble, str] = {
    Trouble.AUTH: "{host} refused the credentials",
    Trouble.NO_SUCH_REF: "{host} has no such branch, tag or commit",
    Trouble.NO_SUCH_REPOSITORY: "{host} has no such repository, or hides it from these credentials",
    Trouble.TLS: "the TLS certificate of {host} is not trusted; name its CA in repo.caRef",
    Trouble.HOST_KEY: "the ssh host key of {host} is not the one in known_hosts of the Secret",
    Trouble.DNS: "DNS does not know {host}",
    Trouble.REFUSED: "{host} refused the connection",
    Trouble.TIMEOUT: "{host} did not answer in time (timeout)",
    Trouble.INTERRUPTED: "{host} broke off the connection",
    Trouble.SERVER_ERROR: "{host} answered with a server error",
    Trouble.DISK_FULL: "no space left on the volume",
    Trouble.OTHER: "git failed",
}
MAX_DETAIL_CHARACTERS = 400


@dataclass(frozen=True)
class Failure:
    """One failed talk, explained; the message holds no secret."""

    trouble: Trouble
    message: str

    @property
    def transient(self) -> bool:
        return self.trouble in TRANSIENT


def explain(error: GitFailed, url: str, secrets: tuple[str, ...]) -> Failure:
    """Return what git's failure means for a person."""
    trouble = _trouble(error)
    words = _WORDS[trouble].format(host=host_of(url))
    detail = last_words(error.stderr, secrets)
    return Failure(trouble, f"{words}: {detail}" if detail else words)


def host_of(url: str) -> str:
    """Return host and port of a URL, without user and path."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the git server"


def last_words(stderr: str, secrets: tuple[str, ...]) -> str:
    """Return git's own words, cleaned, without secrets and URL userinfo, cut."""
    lines = (clean(line).strip() for line in stderr.splitlines())
    said = [line for line in lines if re.match(r"(fatal|error|remote|ssh|\s*!)\b", line)]
    return without_userinfo(masked("; ".join(said), secrets))[:MAX_DETAIL_CHARACTERS]


def without_userinfo(text: str) -> str:
    """Return the text with `user:password@` of every URL masked."""
    return re.sub(r"(\w+://)[^\s/@']+@", r"\1***@", text)


def name_exists(url: str) -> bool:
    """Say whether DNS may know the host later; False only when it is sure that it does not."""
    host = urlsplit(url).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        return error.errno != socket.EAI_NONAME
    except (OSError, UnicodeError):
        return True
    return True


def _trouble(error: GitFailed) -> Trouble:
    if isinstance(error, GitTimeout):
        return Trouble.TIMEOUT
    for trouble, pattern in _PATTERNS:
        if re.search(pattern, error.stderr, re.IGNORECASE):
            return trouble
    return Trouble.OTHER
