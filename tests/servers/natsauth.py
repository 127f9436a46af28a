"""Identities for a real nats-server: an nkey user, and an operator with JWT and creds file."""

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nkeys

NO_LIMIT = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1}
STORE = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


@dataclass(frozen=True)
class Identity:
    """One key pair; whoever holds the seed is the one."""

    seed: bytes

    @property
    def pair(self) -> nkeys.KeyPair:
        return nkeys.from_seed(bytearray(self.seed))

    @property
    def public(self) -> str:
        return str(self.pair.public_key.decode())


def new_identity(kind: int) -> Identity:
    """Return a fresh key pair: nkeys.PREFIX_BYTE_USER, _ACCOUNT or _OPERATOR."""
    return Identity(bytes(nkeys.encode_seed(os.urandom(32), kind)))


def nkey_config(folder: Path) -> tuple[Path, Path]:
    """Write a server's configuration with one nkey user, and that user's seed file."""
    user = new_identity(nkeys.PREFIX_BYTE_USER)
    config, seed = folder / "nkey.conf", folder / "nkey"
    config.write_text(f"authorization {{ users = [ {{ nkey: {user.public} }} ] }}\n", "utf-8")
    seed.write_bytes(user.seed)
    return config, seed


def creds_config(folder: Path) -> tuple[Path, Path]:
    """Write a configuration that trusts one operator, and a user's creds file under it."""
    operator = new_identity(nkeys.PREFIX_BYTE_OPERATOR)
    account = new_identity(nkeys.PREFIX_BYTE_ACCOUNT)
    user = new_identity(nkeys.PREFIX_BYTE_USER)
    system = new_identity(nkeys.PREFIX_BYTE_ACCOUNT)
    trusted = _jwt(operator, operator, "operator", {"system_account": system.public})
    theirs = _jwt(operator, system, "account", {"limits": {**NO_LIMIT, "wildcards": True}})
    ours = _jwt(operator, account, "account", {"limits": {**NO_LIMIT, "wildcards": True, **STORE}})
    mine = _jwt(
        account, user, "user", {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
    )
    config, creds = folder / "creds.conf", folder / "user.creds"
    config.write_text(
        f"operator: {trusted}\nsystem_account: {system.public}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public}: {ours}, {system.public}: {theirs} }}\n",
        "utf-8",
    )
    creds.write_text(
        f"-----BEGIN NATS USER JWT-----\n{mine}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n",
        "utf-8",
    )
    return config, creds


def _jwt(issuer: Identity, subject: Identity, kind: str, claims: Mapping[str, object]) -> str:
    body = {
        "iat": int(time.time()),
        "iss": issuer.public,
        "jti": f"{kind}-{subject.public}",
        "name": kind,
        "sub": subject.public,
        "nats": {**claims, "type": kind, "version": 2},
    }
    signed = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(body)}"
    return f"{signed}.{_encode(issuer.pair.sign(signed.encode()))}"


def _part(value: Mapping[str, object]) -> str:
    return _encode(json.dumps(value).encode())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
