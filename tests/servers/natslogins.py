"""Every way to log in to a real nats-server: its options, and the files of a client's Secrets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.certs import make_certificates
from tests.servers.natsauth import creds_config, nkey_config


@dataclass(frozen=True)
class Login:
    """What the server demands and what a client holds for it."""

    options: tuple[str, ...]
    credentials: dict[str, str] = field(default_factory=dict)
    """Files of the Secret of `nats.credsSecretRef`, by key."""
    tls: dict[str, str] = field(default_factory=dict)
    """Files of the Secret of `nats.tlsSecretRef`, by key."""


def tls(folder: Path) -> Login:
    """Encrypted, by an authority that only the client knows."""
    certs = make_certificates(folder / "certs")
    options = ("--tls", "--tlscert", str(certs.cert), "--tlskey", str(certs.key))
    return Login(options, tls={"ca.crt": certs.ca.read_text("utf-8")})


def mutual_tls(folder: Path) -> Login:
    """The server asks for a certificate as well."""
    plain, certs = tls(folder), folder / "certs"
    own = {f"tls.{end}": (certs / f"server.{end}").read_text("utf-8") for end in ("crt", "key")}
    options = (*plain.options, "--tlsverify", "--tlscacert", str(certs / "ca.crt"))
    return Login(options, tls=plain.tls | own)


def nkey(folder: Path) -> Login:
    """The server knows a public key."""
    config, seed = nkey_config(folder)
    return Login(("-c", str(config)), {"nkey": seed.read_text("utf-8")})


def creds(folder: Path) -> Login:
    """The server trusts an operator, who vouches for an account, which vouches for the user."""
    config, file = creds_config(folder)
    return Login(("-c", str(config)), {"user.creds": file.read_text("utf-8")})


def password(folder: Path) -> Login:
    """The server knows a name and a password."""
    return Login(
        ("--user", "courier", "--pass", "p-1"), {"username": "courier", "password": "p-1\n"}
    )


def token(folder: Path) -> Login:
    """The server knows a token."""
    return Login(("--auth", "t-1"), {"token": "t-1\n"})


FILES: tuple[Callable[[Path], Login], ...] = (tls, mutual_tls, nkey, creds)
"""Ways that need files."""
WORDS: tuple[Callable[[Path], Login], ...] = (password, token)
"""Ways that a URL could carry as well."""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Lay files out as a mounted Secret would be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder
