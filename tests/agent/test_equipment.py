"""What a run has beyond its workspace: only what its task has, and absences are told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import FINISH, MakePod, Pod, call, script_of

from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.policy import Policy
from agenttask_api.databases import Reply

CACHE = {"name": "cache", "kind": "redis", "secretRef": {"name": "cache-db"}}
STORE = {**CACHE, "name": "store", "kind": "postgresql", "readOnly": False}
ASK = call("db_redis_command", connection="cache", command=["GET", "answer"])
ENGINE = {"host": {"cgroupVersion": "v2", "cgroupControllers": ["cpu", "memory", "pids"],
                   "security": {"rootless": True}}}  # fmt: skip


def families(pod: Pod) -> set[str]:
    """Return the families of the tools that the model was offered."""
    names = {tool["function"]["name"] for tool in pod.door.requests[0]["tools"]}
    known = {o.wire_name: o.family for o in CATALOGUE}
    return {known[name] for name in names if name in known}


def said(pod: Pod) -> list[str]:
    assert pod.door.report
    return [t.content for t in pod.door.report.reasoning_log if t.type == "observation"]


def prompt(pod: Pod) -> str:
    return str(pod.door.requests[0]["messages"][1]["content"])


def test_statements_go_through_the_door(make_pod: MakePod):
    pod = make_pod(script_of(ASK, *FINISH), role="DATA", connections=[CACHE, STORE])
    pod.door.databases = Reply(value="42")
    code, output = pod.run()
    assert code == 0, output
    assert [(name, body["command"]) for name, body in pod.door.asked] == [
        ("cache", ["GET", "answer"])
    ]
    assert pod.door.report
    assert [o.success for o in pod.door.report.operations] == [True]
    assert '"42"' in str(pod.door.requests[1]["messages"][-1]["content"])


def test_the_prompt_lists_the_connections_and_nothing_else_of_them(make_pod: MakePod):
    pod = make_pod(script_of(*FINISH), role="DATA", connections=[CACHE, STORE])
    pod.run()
    assert "- `cache`: redis, read-only\n- `store`: postgresql, may be written to" in prompt(pod)
    assert "cache-db" not in json.dumps(pod.door.requests)
    assert families(pod) == {"files", "git", "tests", "db"}


def test_without_connections_there_is_no_db_family(make_pod: MakePod):
    pod = make_pod(script_of(ASK, *FINISH), role="DATA")
    _, output = pod.run()
    assert "db" not in families(pod)
    sentence = "not available: db (spec.tools.connections names none)"
    assert sentence in output
    assert sentence in said(pod)
    assert sentence in prompt(pod)
    assert pod.door.asked == []


def test_connections_that_the_role_cannot_use_are_told(make_pod: MakePod):
    pod = make_pod(script_of(*FINISH), role="DEV", connections=[CACHE])
    _, output = pod.run()
    assert families(pod) == {"files", "git", "tests"}
    assert "not available: db (the role or a tools.allow leaves none" in output


@pytest.mark.parametrize(
    ("role", "offered"),
    [("ARCHITECT", {"db_postgresql_schema"}), ("QA", set()), ("PO", set())],
)
def test_the_role_decides_which_statements(make_pod: MakePod, role: str, offered: set[str]):
    pod = make_pod(script_of(*FINISH), role=role, connections=[STORE])
    pod.run()
    names = {tool["function"]["name"] for tool in pod.door.requests[0]["tools"]}
    assert {name for name in names if name.startswith("db_")} == offered


def test_http_goes_to_the_listed_hosts_only(make_pod: MakePod):
    asks = [call("http_get", url="http://other.example/"), call("http_get", url="http://[::1]/")]
    pod = make_pod(script_of(*asks, *FINISH), role="QA", http_hosts=["a.example", "[::1]"])
    pod.run()
    assert "http" in families(pod)
    assert pod.door.report
    assert [o.denied for o in pod.door.report.operations] == [True, True], "loopback stays closed"


def test_without_hosts_there_is_no_http_family(make_pod: MakePod):
    pod = make_pod(script_of(*FINISH), role="QA")
    _, output = pod.run()
    assert "http" not in families(pod)
    assert "not available: http (spec.tools.httpHosts names no host)" in output


def test_without_an_engine_the_run_says_so_and_starts(make_pod: MakePod):
    pod = make_pod(script_of(*FINISH), role="DEVOPS")
    code, output = pod.run()
    assert code == 0, output
    assert "docker" not in families(pod)
    assert "not available: docker (no dockerHost in the class's toolchain)" in said(pod)


def test_a_client_that_is_missing_is_the_reason(make_pod: MakePod):
    pod = with_engine(make_pod(script_of(*FINISH), role="DEVOPS", docker_host="http://x"), {})
    _, output = pod.run()
    assert "not available: docker ('http://x' is not the address of an engine" in output


def test_the_engine_of_the_class_is_used_and_tidied_up(make_pod: MakePod, tmp_path: Path):
    address = "tcp://engine.build.svc:2375"
    pod = make_pod(script_of(call("docker_ps"), *FINISH), role="DEVOPS", docker_host=address)
    code, output = with_engine(pod, ENGINE).run()
    assert code == 0, output
    asked = (tmp_path / "bin" / "podman.asked").read_text().splitlines()
    assert all(line.startswith(f"--remote --url {address} ") for line in asked)
    commands = [line.split()[3] for line in asked]
    assert commands == ["info", "ps", "images", "ps", "ps", "images"], "tidy, work, tidy"
    assert "docker" in families(pod)


def test_a_dev_run_never_asks_the_engine(make_pod: MakePod, tmp_path: Path):
    pod = make_pod(script_of(*FINISH), role="DEV", docker_host="tcp://engine.build.svc:2375")
    with_engine(pod, ENGINE).run()
    assert not (tmp_path / "bin" / "podman.asked").exists()


def test_the_class_is_a_ceiling_for_every_pattern():
    read = next(o for o in CATALOGUE if o.key == "files.read_file")
    assert not Policy(allow=("*.read_file",), ceiling=("files.*",)).refusal(read)
    assert "class does not allow" in Policy(allow=("*",), ceiling=("git.*",)).refusal(read)
    assert "class does not allow" in Policy(ceiling=("files.read_fil",)).refusal(read)
    assert "this task does not" in Policy(allow=("files.?",), ceiling=("files.*",)).refusal(read)


def test_the_class_narrows_the_tool_list(make_pod: MakePod):
    pod = make_pod(script_of(*FINISH), tools_allow=["*"], class_tools_allow=["files.*"])
    pod.run()
    assert families(pod) == {"files"}


def with_engine(pod: Pod, info: dict[str, Any]) -> Pod:
    """Put a podman in front of the path that notes what it is asked and lists nothing."""
    folder = pod.root / "bin"
    folder.mkdir()
    (folder / "info.json").write_text(json.dumps(info))
    program = folder / "podman"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/podman.asked\n'
        f'case "$*" in *" info "*) cat {folder}/info.json ;; esac\n'
    )
    program.chmod(0o755)
    pod.env["PATH"] = os.pathsep.join([str(folder), pod.path()])
    return pod
