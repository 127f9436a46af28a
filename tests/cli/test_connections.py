"""Databases of a local run: the courier asks them, with keys from a folder of the user's."""

import json
from pathlib import Path

import redis as redis_client
from tests.cli.conftest import Desk, done
from tests.databases.servers import PASSWORD, redis
from tests.servers.certs import make_certificates

ASK = "Ask the database for the greeting and add it to utils.py."
TOOLS = {"connections": [{"name": "cache", "kind": "redis", "secretRef": {"name": "cache-db"}}]}


def test_a_connection_is_asked_read_only_and_its_key_is_seen_nowhere(desk: Desk, tmp_path: Path):
    (tmp_path / "certificates").mkdir()
    with redis(make_certificates(tmp_path / "certificates")) as (port, _):
        with redis_client.Redis(port=port, username="agent", password=PASSWORD) as client:
            client.set("greeting", "Hello, World!")
        secrets = tmp_path / "secrets"
        (secrets / "db" / "cache").mkdir(parents=True)
        keys = {"host": "127.0.0.1", "port": str(port), "user": "agent", "password": PASSWORD}
        for key, value in keys.items():
            (secrets / "db" / "cache" / key).write_text(value, encoding="utf-8")
        task = desk.task(ASK, role="DATA", tools=TOOLS)
        ended = desk.run(task, "--secrets", secrets, "--json")
        with redis_client.Redis(port=port, username="agent", password=PASSWORD) as client:
            assert client.get("greeting") == b"Hello, World!"
    assert ended.code == 0, ended
    operations = json.loads(ended.out)["operations"]
    assert [(o["operation"], o["success"]) for o in operations[:3]] == [
        ("db.redis_command", True),
        ("db.redis_command", False),
        ("files.append_file", True),
    ]
    for path in [p for p in desk.here.rglob("*") if p.is_file()]:
        assert PASSWORD.encode() not in path.read_bytes(), path
    assert PASSWORD not in ended.out + ended.err


def test_without_keys_the_task_is_refused_with_what_to_give(desk: Desk):
    task = desk.task(ASK, role="DATA", tools=TOOLS)
    ended = done(desk.start("run", "-f", task, "--model-url", desk.model_url,
                            "--model-name", "rehearsal"))  # fmt: skip
    assert ended.code == 2
    assert "give --secrets DIR" in ended.err
    assert "DIR/db/cache/url" in ended.err
