"""How somebody identifies himself to NATS, as options of nats-py: for operator, courier and CLI.

The only module of this package that reads files, and only those that it is given.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class NatsLogin:
    """Who asks, and whom he trusts; empty = not so."""

    creds: str = ""
    """A creds file: JWT and seed."""
    nkey: str = ""
    """A file with an nkey seed."""
    username: str = ""
    password: str = ""
    token: str = ""
    ca: str = ""
    """A file with the authorities of the server's certificate, PEM; empty = the machine's."""
    cert: str = ""
    """A file with the client's own certificate, PEM, where the server asks for one."""
    key: str = ""
    """The file with its key."""


class BadLogin(ValueError):
    """A file is of no use; the words say which and why, and nothing of what is in it."""

    def __init__(self, field: str, path: str, words: str) -> None:
        """Keep which field of NatsLogin it is: callers know it by other names."""
        super().__init__(f"{field} {path}: {words}")
        self.field, self.path, self.words = field, path, words


def tls_files(folder: Path) -> dict[str, str]:
    """Return ca, and cert and key where they are, of a NatsLogin, as a TLS Secret holds them."""
    found = {"ca": str(folder / "ca.crt")}
    if (folder / "tls.crt").exists():
        found |= {"cert": str(folder / "tls.crt"), "key": str(folder / "tls.key")}
    return found


def connect_options(login: NatsLogin) -> dict[str, Any]:
    """Return what `Client.connect` of nats-py is to be told; raises BadLogin."""
    options: dict[str, Any] = {}
    if login.creds:
        _check_creds(login.creds)
        options["user_credentials"] = login.creds
    if login.nkey:
        _check_seed(login.nkey)
        options["nkeys_seed"] = login.nkey
    words = {"user": login.username, "password": login.password, "token": login.token}
    options |= {name: word for name, word in words.items() if word}
    if login.ca or login.cert or login.key:
        options["tls"] = _context(login)
    return options


def _check_creds(path: str) -> None:
    if "BEGIN NATS USER JWT" not in _text("creds", path):
        raise BadLogin("creds", path, "not a creds file of NATS")


def _check_seed(path: str) -> None:
    # nats-py, too, imports it for such a login only: it costs memory.
    import nkeys

    seed = bytearray(_text("nkey", path).strip().encode())
    try:
        nkeys.from_seed(seed)
    except (nkeys.NkeysError, ValueError) as error:
        raise BadLogin("nkey", path, "not an nkey seed") from error


def _context(login: NatsLogin) -> ssl.SSLContext:
    context = _trusting(login.ca)
    if login.cert or login.key:
        _show_certificate(context, login)
    return context


def _trusting(ca: str) -> ssl.SSLContext:
    if not ca:
        return ssl.create_default_context()
    _text("ca", ca)
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError as error:
        raise BadLogin("ca", ca, "no certificate in PEM") from error


def _show_certificate(context: ssl.SSLContext, login: NatsLogin) -> None:
    if not login.key:
        raise BadLogin("cert", login.cert, "its key is missing")
    if not login.cert:
        raise BadLogin("key", login.key, "its certificate is missing")
    _text("cert", login.cert)
    _text("key", login.key)
    try:
        context.load_cert_chain(login.cert, login.key)
    except (ssl.SSLError, ValueError) as error:
        words = f"no certificate in PEM, or not the one of the key {login.key}"
        raise BadLogin("cert", login.cert, words) from error


def _text(field: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = (error.strerror if isinstance(error, OSError) else "") or "not a text"
        raise BadLogin(field, path, words) from error
