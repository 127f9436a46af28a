"""Where a connection leads, read from its folder: the keys of a mounted Secret.

Either `url` alone, or `host` with `port`, `user`, `password`, `database`; and, for
TLS with an authority of one's own, `ca.crt`. Addresses are taken apart here instead
of by the drivers: an address must not be able to switch off what we switch on.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from agenttask_api.databases import DatabaseError, Failure
from agenttask_api.masking import Mask
from agenttask_api.spec import Connection, ConnectionKind

CA_FILE = "ca.crt"
MAX_KEY_BYTES = 8192
MIN_CHARACTERS = 4
"""Shorter values would tear ordinary words apart when they are hidden."""
DEFAULT_PORTS = {
    ConnectionKind.POSTGRESQL: 5432,
    ConnectionKind.REDIS: 6379,
    ConnectionKind.NEO4J: 7687,
}
SCHEMES: dict[str, tuple[ConnectionKind, str]] = {
    "postgresql": (ConnectionKind.POSTGRESQL, ""),
    "postgres": (ConnectionKind.POSTGRESQL, ""),
    "redis": (ConnectionKind.REDIS, "disable"),
    "rediss": (ConnectionKind.REDIS, "verify-full"),
    "bolt": (ConnectionKind.NEO4J, "disable"),
    "neo4j": (ConnectionKind.NEO4J, "disable"),
    "bolt+s": (ConnectionKind.NEO4J, "verify-full"),
    "neo4j+s": (ConnectionKind.NEO4J, "verify-full"),
    "bolt+ssc": (ConnectionKind.NEO4J, "require"),
    "neo4j+ssc": (ConnectionKind.NEO4J, "require"),
}
"""Scheme to kind and TLS; empty = as the server offers it."""
TLS_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})|[0-9A-Fa-f:.]{2,45}")


class BadAddress(ValueError):
    """An address or a key that cannot be used. The text holds no part of the value."""


@dataclass(frozen=True)
class Address:
    """Server, account and database; nothing of it leaves this package."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    tls: str = ""
    """As libpq's sslmode; empty = what the server offers."""
    routing: bool = False
    """Neo4j only: the server is a cluster's."""


@dataclass(frozen=True)
class ConnectionConfig:
    """One connection of a task, ready to be used."""

    name: str
    kind: ConnectionKind
    read_only: bool
    address: Address = field(repr=False)
    ca_file: Path | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must never be seen outside, longest form first."""

    @property
    def mask(self) -> Mask:
        """What hides the credentials."""
        return Mask(self.secrets, MIN_CHARACTERS)


def read_connection(connection: Connection, root: Path) -> ConnectionConfig:
    """Return the connection whose keys lie in `root/<name>`.

    Read anew for every request, so that a rotated Secret counts at once. Raises
    DatabaseError when something is missing or wrong, naming the key, not its value.
    """
    try:
        keys = _read_keys(root / connection.name)
        address = _address(connection.kind, keys)
    except BadAddress as error:
        message = f"the Secret of connection {connection.name!r} cannot be used: {error}"
        raise DatabaseError(Failure.MISCONFIGURED, message) from None
    ca_file = root / connection.name / CA_FILE
    with_ca = ca_file if ca_file.exists() else None
    if with_ca and not address.tls:
        address = replace(address, tls="verify-full")
    secrets = tuple(value for value in (keys.get("url", ""), address.password) if value)
    return ConnectionConfig(
        connection.name, connection.kind, connection.read_only, address, with_ca, secrets
    )


def secret_values(connections: Iterable[Connection], root: Path) -> tuple[str, ...]:
    """Return what masks and secret scans must know of these connections."""
    found: set[str] = set()
    for connection in connections:
        try:
            found.update(read_connection(connection, root).secrets)
        except DatabaseError:
            continue
    return tuple(sorted(found, key=len, reverse=True))


def parse_url(kind: ConnectionKind, url: str) -> Address:
    """Return the parts of a database URL; raises BadAddress, which quotes no secret."""
    if _CONTROL.search(url):
        # urlsplit would drop some of them without a word, and read another address.
        raise BadAddress("url: it holds control characters")
    try:
        parts = urlsplit(url)
        port = DEFAULT_PORTS[kind] if parts.port is None else parts.port
    except ValueError:
        raise BadAddress("url: the host or port is no valid one") from None
    if port == 0:
        raise BadAddress("url: the host or port is no valid one")
    known = SCHEMES.get(parts.scheme)
    if known is None or known[0] is not kind:
        schemes = [scheme for scheme, (of, _) in SCHEMES.items() if of is kind]
        raise BadAddress(f"url: the scheme must be one of {', '.join(schemes)}")
    return Address(
        host=_checked_host(parts.hostname or ""),
        port=port,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=_checked_database(kind, unquote(parts.path.removeprefix("/"))),
        tls=_options(kind, parts).get("sslmode", known[1]),
        routing=parts.scheme.startswith("neo4j"),
    )


def _address(kind: ConnectionKind, keys: Mapping[str, str]) -> Address:
    if "url" in keys:
        return parse_url(kind, keys["url"])
    if "host" not in keys:
        raise BadAddress("it has neither the key 'url' nor the key 'host'")
    port = keys.get("port", "") or str(DEFAULT_PORTS[kind])
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise BadAddress("port: no port number")
    return Address(
        host=_checked_host(keys["host"]),
        port=int(port),
        user=keys.get("user", ""),
        password=keys.get("password", ""),
        database=_checked_database(kind, keys.get("database", "")),
    )


def _options(kind: ConnectionKind, parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    allowed = {"sslmode"} if kind is ConnectionKind.POSTGRESQL else set()
    if unknown := sorted(set(options) - allowed):
        raise BadAddress(f"url: no option called {unknown[0][:40]!r} is allowed")
    if options.get("sslmode", "disable") not in TLS_MODES:
        raise BadAddress(f"url: sslmode must be one of {', '.join(sorted(TLS_MODES))}")
    return options


def _checked_host(host: str) -> str:
    if not _HOST.fullmatch(host):
        raise BadAddress("the host is no name and no address")
    return host


def _checked_database(kind: ConnectionKind, database: str) -> str:
    if kind is ConnectionKind.REDIS and not re.fullmatch(r"[0-9]{0,4}", database):
        raise BadAddress("the database of Redis is a number")
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{0,253}", database):
        raise BadAddress("the database's name has control characters or is too long")
    return database


def _read_keys(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise BadAddress("it is not there")
    wanted = ("url", "host", "port", "user", "password", "database")
    return {name: _read(folder / name) for name in wanted if (folder / name).is_file()}


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
        text = raw.decode().strip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise BadAddress(f"{path.name}: cannot be read as text") from None
    if len(raw) > MAX_KEY_BYTES or "\x00" in text:
        raise BadAddress(f"{path.name}: too long, or no text")
    return text
