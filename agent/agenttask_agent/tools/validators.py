"""Checks the values that models write before anything is done with them.

Pure: no look-ups, no files. Each check takes what the real grammar allows, odd as it
may look (registry ports, digests, dots, IPv6), and refuses what some parser behind it
would read as something else. They return the value in its one plain spelling. Addresses
of databases are no model's to write: `agenttask_databases.connection` checks them.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from agenttask_agent.sanitise import cap, neutralise, plain_terminal
from agenttask_agent.tools.refusal import Denied, ToolError
from agenttask_agent.tools.workspace import split

MAX_URL = 2048
MAX_LOG = 10_000
MAX_WORDS, MAX_WORD = 64, 4096
MAX_VARIABLES, MAX_VALUE = 64, 4096
MAX_IMAGE = 512
UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff\\]")
HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
"""A last label like this makes a host an IPv4 address in some parser's eyes."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
LOADER_VARIABLE = re.compile(r"(LD|DYLD)_.*|BASH_ENV|GCONV_PATH|GLIBC_TUNABLES|MALLOC_TRACE")
SCP_LIKE = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)@([A-Za-z0-9.-]+):(?!/*-)([^\s:][^\s]*)")
IMAGE = re.compile(
    r"(?:(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?)/)?"
    r"(?P<path>[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
TRANSPORTS = frozenset(
    ("atomic", "containers-storage", "dir", "docker", "docker-archive", "docker-daemon", "oci",
     "oci-archive", "ostree", "sif", "tarball")
)  # fmt: skip
"""`oci:name` would be read as a local folder, not as image `oci` with tag `name`."""


@dataclass(frozen=True)
class Target:
    """An http or https URL, taken apart."""

    scheme: str
    host: str
    """Lower case, without brackets or final dot; an address in its usual spelling."""
    port: int
    path: str
    """With the query; never empty, never with the fragment."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What decides whether two URLs belong together."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The host as a URL spells it, with the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


@dataclass(frozen=True)
class Image:
    """An image reference, taken apart."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """The full name without tag and digest; short names are Docker Hub's."""
        if self.domain:
            return f"{self.domain}/{self.path}"
        return f"docker.io/{self.path if '/' in self.path else 'library/' + self.path}"

    @property
    def full(self) -> str:
        """The name that no engine can take for another image."""
        tag = self.tag or ("" if self.digest else "latest")
        return (
            self.repository
            + (f":{tag}" if tag and not self.digest else "")
            + (f"@{self.digest}" if self.digest else "")
        )


def mapping(pairs: Mapping[str, object], most: int, longest_name: int, longest: int) -> None:
    """Raise ValueError for a mapping that is too large.

    Not a bound of its JSON schema: grammars do not know those of objects.
    """
    if len(pairs) > most:
        raise ValueError(f"at most {most} entries")
    for name, value in pairs.items():
        if not 1 <= len(name) <= longest_name:
            raise ValueError(f"a name has 1 to {longest_name} characters")
        if isinstance(value, str) and len(value) > longest:
            raise ValueError(f"a value has at most {longest} characters")


def path(value: str) -> str:
    """Return a path inside the workspace in its plain spelling."""
    return "/".join(split(value)) or "."


def url(value: str) -> Target:
    """Return an http or https URL taken apart; the host is checked for its spelling only."""
    parts = _split_url(value, ("http", "https"))
    if parts.username is not None or parts.password is not None:
        raise Denied("the URL holds a user name; credentials do not belong there")
    port = _port(parts) or {"http": 80, "https": 443}[parts.scheme]
    if ("[" in parts.netloc) != (":" in (parts.hostname or "")):
        raise ToolError("the URL's host is not an address")
    target = parts.path or "/"
    target += f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, host(parts.hostname or ""), port, target)


def host(value: str) -> str:
    """Return a host name or address in its one spelling; raises Denied for the other ones."""
    name = value.lower().removesuffix(".")
    if ":" in name or name.startswith("["):
        return _ipv6(name.strip("[]"))
    if not HOST.fullmatch(name):
        raise ToolError(f"{value[:100]!r} is not a host name")
    if NUMERIC.fullmatch(name.rsplit(".", 1)[-1]):
        return _ipv4(name)
    return name


def git_url(value: str) -> str:
    """Return the URL of a repository: https, ssh or user@host:path, without a password."""
    if "://" not in value and (found := SCP_LIKE.fullmatch(value)) and len(value) <= MAX_URL:
        host(found[2])
        return value
    parts = _split_url(value, ("https", "ssh"))
    if parts.password is not None:
        raise Denied("the URL holds a password; credentials do not belong there")
    if (parts.username or "").startswith("-") or not parts.path.strip("/"):
        raise ToolError("the URL names no repository")
    host(parts.hostname or "")
    _port(parts)
    return value


def command_args(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command as a list. There is no shell: `;` and `$(` are plain characters."""
    if not 1 <= len(words) <= MAX_WORDS:
        raise ToolError(f"a command has 1 to {MAX_WORDS} words, not {len(words)}")
    if not words[0] or words[0].startswith("-"):
        raise ToolError("a command begins with the name of a program")
    for word in words:
        _plain_text(word, MAX_WORD, "a word of the command")
    return tuple(words)


def env_vars(variables: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables; those that load code into a program are refused."""
    if len(variables) > MAX_VARIABLES:
        raise ToolError(f"at most {MAX_VARIABLES} variables, not {len(variables)}")
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name):
            raise ToolError(f"{name[:100]!r} is not a name of an environment variable")
        if LOADER_VARIABLE.fullmatch(name):
            raise Denied(f"{name} makes programs load foreign code")
        _plain_text(value, MAX_VALUE, f"the value of {name}")
        if name == "PATH" and not all(_is_absolute(folder) for folder in value.split(":")):
            raise Denied("every folder in PATH must be absolute and without '..'")
    return dict(variables)


def image(value: str) -> Image:
    """Return an image reference taken apart."""
    found = IMAGE.fullmatch(value) if len(value) <= MAX_IMAGE else None
    if not found:
        raise ToolError(f"{value[:100]!r} is not an image reference")
    domain, repository = found["domain"] or "", found["path"]
    if domain and not _is_registry(domain):
        domain, repository = "", f"{domain}/{repository}"
    if domain != domain.lower() or repository != repository.lower():
        raise ToolError(f"{value[:100]!r}: image names are in lower case")
    if not domain and repository in TRANSPORTS:
        raise Denied(f"{value[:100]!r} could be a local file; write docker.io/library/{value}")
    return Image(domain, repository, found["tag"] or "", found["digest"] or "")


def log_output(output: bytes | str, limit: int = MAX_LOG, head_share: float = 0.6) -> str:
    """Return output fit for a log: no escape sequences, nothing invisible, bounded."""
    raw = output.encode("utf-8", "replace") if isinstance(output, str) else output
    return cap(neutralise(plain_terminal(raw)), limit, head_share)[0]


def _split_url(value: str, schemes: Sequence[str]) -> SplitResult:
    if len(value) > MAX_URL or UNPRINTABLE.search(value) or not value.isascii():
        raise ToolError("the URL is too long or holds characters that no URL has")
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ToolError("the URL is malformed") from None
    if parts.scheme not in schemes or not value.lower().startswith(f"{parts.scheme}://"):
        raise Denied(f"the URL must begin with {' or '.join(s + '://' for s in schemes)}")
    return parts


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        raise ToolError("the URL's port is not a number from 1 to 65535") from None
    if port == 0:
        raise ToolError("the URL's port is not a number from 1 to 65535")
    return port


def _ipv4(name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        raise Denied(f"{name!r} is an odd spelling of an address; write four decimals") from None


def _ipv6(name: str) -> str:
    try:
        address = ipaddress.IPv6Address(name)
    except ValueError:
        raise ToolError(f"{name[:100]!r} is not an address") from None
    if address.scope_id:
        raise Denied("an address with a zone is local")
    return str(address)


def _plain_text(value: str, longest: int, what: str) -> None:
    if len(value) > longest or "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ToolError(f"{what} is longer than {longest} or holds characters it cannot have")


def _is_absolute(folder: str) -> bool:
    return folder.startswith("/") and ".." not in folder.split("/")


def _is_registry(domain: str) -> bool:
    """As the reference grammar decides it: `a/b` is a path, `a.io/b` names a registry."""
    return "." in domain or ":" in domain or domain == "localhost"
