"""`agenttask context get` on a real nats-server, as a process and as a person sees it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import natslogins
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_api.contextrecord import ContextRecord, record_subject
from agenttask_operator.messages import Message
from agenttask_operator.outbox import Outbox

RECORD = ContextRecord(
    task_id="team.fix", uid="u", run_id="1", run_key="1-a", role="DEV", goal="fix it",
    phase="Succeeded", verdict="Verified", reason="Completed", commit="c" * 40,
    branch="agenttask/fix", base_commit="b" * 40, files=("a.py",), files_count=1,
    summary="\x1b[2Jdone",
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "data", nats_binary(), free_port())
    server.start()
    yield server
    server.stop()


def agenttask(*args: str, **environ: str) -> tuple[int, str, str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ}
    argv = [sys.executable, "-m", "agenttask_cli", "context", "get", *args]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


async def store(url: str) -> None:
    outbox = Outbox(url)
    outbox.start()
    payload = RECORD.model_dump_json().encode()
    stored = await outbox.publish([Message(record_subject("c1", "team", "fix"), (), payload)])
    await outbox.close()
    assert stored


async def test_a_record_is_printed_as_a_later_task_reads_it(server: NatsServer):
    await store(server.url)
    where = ("fix", "-n", "team", "--nats-url", server.url, "--cluster-id", "c1")
    code, out, err = agenttask(*where)
    assert (code, err) == (0, "")
    assert out.startswith("Task team.fix, run 1: Succeeded (Verified), Completed\n")
    assert "c" * 40 in out
    assert "\x1b" not in out
    code, out, _ = agenttask(*where, "--json")
    assert ContextRecord.model_validate_json(json.dumps(json.loads(out))) == RECORD
    code, out, err = agenttask("fix", "-n", "team", NATS_URL=server.url, CLUSTER_ID="c1")
    assert (code, err) == (0, "")


async def test_what_is_not_there_is_said(server: NatsServer):
    await store(server.url)
    code, out, err = agenttask("fix", "-n", "team", "--nats-url", server.url)
    assert (code, out) == (1, "")
    assert err.startswith("agenttask: no record of task team.fix in cluster 'default'")


async def test_the_cluster_that_has_a_record_is_named(server: NatsServer):
    await store(server.url)
    _, _, err = agenttask("fix", "-n", "team", "--nats-url", server.url)
    assert "but in c1: name it with --cluster-id" in err


FILES = ["--nats-creds", "--nats-nkey", "--nats-ca", "--nats-cert", "--nats-key"]


@pytest.mark.parametrize("option", FILES)
@pytest.mark.parametrize("content", [None, "junk", "SUjunk"])
def test_a_file_that_is_of_no_use_is_named(option: str, content: str | None, tmp_path: Path):
    path = tmp_path / "given"
    if content is not None:
        path.write_text(content, "utf-8")
    code, out, err = agenttask("fix", "-n", "team", option, str(path))
    assert (code, out) == (2, "")
    assert err.startswith(f"agenttask: {option} {path}: ")
    assert err.count("\n") == 1
    assert "junk" not in err


def test_who_is_not_let_in_learns_which_options_say_who_he_is(tmp_path: Path):
    config = tmp_path / "nats.conf"
    config.write_text("authorization { user: u, password: p }", "utf-8")
    server = NatsServer(tmp_path / "data", nats_binary(), free_port(), ("-c", str(config)))
    server.start()
    try:
        url = f"nats://u:wrong-word@127.0.0.1:{server.port}"
        code, _, err = agenttask("fix", "-n", "team", "--nats-url", url)
    finally:
        server.stop()
    assert code == 1
    assert "--nats-creds, --nats-nkey or --nats-cert" in err
    assert "wrong-word" not in err


def test_a_certificate_is_shown_to_a_server_that_asks_for_one(tmp_path: Path):
    login = natslogins.mutual_tls(tmp_path)
    held = natslogins.write(tmp_path / "held", login.tls)
    server = NatsServer(tmp_path / "data", nats_binary(), free_port(), login.options)
    server.start()
    where = ("fix", "-n", "team", "--nats-url", server.url, "--nats-ca", str(held / "ca.crt"))
    own = ("--nats-cert", str(held / "tls.crt"), "--nats-key", str(held / "tls.key"))
    try:
        _, _, known = agenttask(*where, *own)
        _, _, stranger = agenttask(*where)
    finally:
        server.stop()
    assert "agenttask: no record of task team.fix" in known
    assert f"agenttask: NATS at {server.url}: " in stranger
    assert "no record" not in stranger


def test_an_unreachable_nats_is_said_in_one_line():
    url = f"nats://127.0.0.1:{free_port()}"
    code, out, err = agenttask("fix", "-n", "team", "--nats-url", url)
    assert (code, out) == (1, "")
    assert err.startswith(f"agenttask: NATS at {url}: ")
    assert err.count("\n") == 1


def test_without_a_cluster_the_namespace_must_be_named():
    code, _, err = agenttask("fix", "--nats-url", "nats://127.0.0.1:1")
    assert code == 2
    assert "-n" in err
