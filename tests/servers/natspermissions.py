"""A real nats-server's users with exactly the rights of the table in docs/contract.md."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

CONTRACT = Path(__file__).parents[2] / "docs" / "contract.md"
NAMESPACE, TENANT = "team-a", "a"
"""What stands for NS and for <tenant>."""
ADMIN = "admin"
"""A user who may do everything; every user's password is his name."""


def permissions(who: str) -> tuple[list[str], list[str]]:
    """Return what a row of the table lets a side publish and subscribe, for one namespace."""
    row = re.search(rf"^\| {who} \| (.*) \| (.*) \|$", CONTRACT.read_text("utf-8"), re.MULTILINE)
    assert row
    found = [re.findall(r"`([^`]+)`", _named(cell)) for cell in row.groups()]
    return found[0], found[1]


def write_config(folder: Path, *rows: str) -> Path:
    """Write a server's configuration with the administrator and a user for each row."""
    users: list[Mapping[str, object]] = [{"user": ADMIN, "password": ADMIN}]
    for row in rows:
        publish, subscribe = permissions(row)
        allowed = {"publish": publish, "subscribe": subscribe}
        users.append({"user": row, "password": row, "permissions": allowed})
    config = folder / "nats.conf"
    config.write_text(f"authorization {{ users = {json.dumps(users)} }}\n", "utf-8")
    return config


def _named(cell: str) -> str:
    return re.sub(r"\bNS\b", NAMESPACE, cell).replace("<tenant>", TENANT)
