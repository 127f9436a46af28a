"""Running containers with real podman, and what cannot be done with them."""

import json
import os
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.engine import BASE, KEY, SLEEP, Call, Store, do, make_docker, ok, podman, wait_for

from agenttask_agent.tools import docker

__all__ = ["do", "make_docker", "podman"]  # the fixtures


def test_run_answers_with_output_and_exit_code(do: Call):
    result = do("run", image=BASE, command=["sh", "-c", "echo $A; exit 3"], env={"A": "b c"})
    assert (result.ok, result.exit_code, result.output) == (False, 3, "b c\n")


def test_run_limits_memory_processes_and_privileges(do: Call):
    script = (
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max;"
        "cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max;"
        "grep -E 'NoNewPrivs|CapBnd' /proc/self/status; ip link | grep -c ether; ulimit -c"
    )
    lines = do("run", image=BASE, command=["sh", "-c", script]).output.split()
    assert lines[:2] == [str(64 * 1024 * 1024), "32"]
    assert lines[lines.index("NoNewPrivs:") + 1] == "1"
    capabilities = int(lines[lines.index("CapBnd:") + 1], 16)
    for number in (13, 27, 18, 21, 12):  # NET_RAW MKNOD SYS_CHROOT SYS_ADMIN NET_ADMIN
        assert not capabilities >> number & 1
    assert lines[-2:] == ["0", "0"]


def test_run_kills_what_takes_too_much(do: Call):
    fork = do(
        "run", image=BASE, command=["sh", "-c", "for i in $(seq 60); do sleep 9 & done; wait"]
    )
    assert "fork" in fork.output
    eat = do("run", image=BASE, command=["sh", "-c", "a=x; while true; do a=$a$a; done"])
    assert eat.exit_code == 137


def test_run_that_takes_too_long_leaves_no_container(make_docker):
    tools = make_docker(run_seconds=2.0)
    started = time.monotonic()
    result = tools("docker.run", image=BASE, command=SLEEP, name="slow")
    assert "ended" in str(result.error)
    assert time.monotonic() - started < 20
    assert tools("docker.ps", all=True).metadata["containers"] == 0


def test_endless_output_is_cut(make_docker):
    result = make_docker(run_seconds=3.0)("docker.run", image=BASE, command=["yes"])
    assert result.truncated
    assert len(result.output) < 30_000


def test_volumes_are_folders_of_the_workspace(make_docker):
    tools = make_docker()
    script = "cat /data/in.txt; echo out > /data/out.txt"
    ok(tools("docker.run", image=BASE, command=["sh", "-c", script], volumes=["data:/data"]))
    written = tools.root / "data" / "out.txt"
    assert written.read_text() == "out\n"
    assert written.stat().st_uid == os.getuid()
    result = tools(
        "docker.run", image=BASE, command=["touch", "/data/x"], volumes=["data:/data:ro"]
    )
    assert "Read-only" in result.output


@pytest.mark.parametrize(
    "volume",
    ["/:/host", "/etc:/x", "../:/x", "data/../..:/x", "link:/x", "link/sub:/x", ".git:/x", "data",
     "data:x", "data:/x:rw,exec", "data:/x:z", "data:/../x", "data:/", "data:/proc", "data:/proc/1",
     "data:/dev/x", ":/x", "missing:/x", "hello.txt:/x", "data:/a,b", "named-volume:/x",
     "-v:/x", "data:/x:ro:/y", "da\nta:/x", "with,comma:/x"],
)  # fmt: skip
def test_hostile_volumes(make_docker, volume):
    tools = make_docker()
    (tools.root / "link").symlink_to("/etc")
    (tools.root / "with,comma").mkdir()
    assert not tools("docker.run", image=BASE, command=["true"], volumes=[volume]).ok


def test_one_writing_container_at_a_time(make_docker):
    tools = make_docker()
    ok(tools("docker.run", image=BASE, command=SLEEP, volumes=["data:/d"], detach=True, name="w"))
    again = tools("docker.run", image=BASE, command=["true"], volumes=["data:/d:ro"])
    assert again.denied
    ok(tools("docker.rm", container="w", force=True))
    ok(tools("docker.run", image=BASE, command=["true"], volumes=["data:/d:ro"]))


def test_a_remote_engine_gets_no_folder_of_this_machine(make_docker):
    tools = make_docker(remote=True)
    assert tools("docker.run", image=BASE, command=["true"], volumes=["data:/d"]).denied


@pytest.mark.parametrize(
    "arguments",
    [
        {"image": "--privileged"},
        {"image": "-v=/:/host"},
        {"image": "localhost/other:1"},
        {"image": "busybox"},
        {"image": "docker.io/library/busybox"},
        {"image": "oci-archive:x"},
        {"image": BASE, "command": ["--privileged"]},
        {"image": BASE, "env": {"LD_PRELOAD": "x"}},
        {"image": BASE, "env": {"A=B --privileged": "x"}},
        {"image": BASE, "name": "--privileged"},
        {"image": BASE, "name": "../x"},
        {"image": BASE, "ports": ["80"]},
        {"image": BASE, "privileged": True},
        {"image": BASE, "network": "host"},
        {"image": BASE, "devices": ["/dev/sda"]},
        {"image": BASE, "cap_add": ["ALL"]},
        {"image": BASE, "timeout": 99999},
    ],
)
def test_hostile_arguments_of_run(do: Call, arguments):
    assert not do("run", **arguments).ok


def test_a_detached_container_can_be_followed_and_ended(do: Call):
    script = "echo up; for i in 1 2 3; do echo line $i; done; sleep 600"
    ok(do("run", image=BASE, command=["sh", "-c", script], detach=True, name="web"))
    assert "web" in ok(do("ps")).output
    assert "Up" in do("ps").output
    assert wait_for(lambda: "line 3" in do("logs", container="web").output)
    assert ok(do("logs", container="web", tail=1)).output == "line 3\n"
    assert ok(do("exec", container="web", command=["echo", "a b"])).output == "a b\n"
    facts = json.loads(ok(do("inspect", name="web")).output)
    assert facts["State"]["Running"] is True
    ok(do("stop", container="web"))
    assert "web" not in do("ps").output
    assert "web" in do("ps", all=True).output
    ok(do("rm", container="web"))
    assert do("ps", all=True).metadata["containers"] == 0


def test_a_name_is_used_once(do: Call):
    ok(do("run", image=BASE, command=SLEEP, detach=True, name="web"))
    assert "is there" in str(do("run", image=BASE, command=SLEEP, detach=True, name="web").error)


def test_only_so_many_containers_run(make_docker):
    tools = make_docker(containers=1)
    ok(tools("docker.run", image=BASE, command=SLEEP, detach=True))
    assert tools("docker.run", image=BASE, command=SLEEP, detach=True).denied


def test_exec_reports_failures(do: Call):
    ok(do("run", image=BASE, command=SLEEP, detach=True, name="web"))
    assert do("exec", container="web", command=["sh", "-c", "exit 5"]).exit_code == 5
    assert not do("exec", container="web", command=["--privileged", "sh"]).ok
    assert not do("exec", container="web", command=[]).ok
    assert not do("exec", container="web", command=["no-such-program"]).ok


def test_exec_that_hangs_ends_the_container(make_docker):
    tools = make_docker(exec_seconds=1.0)
    ok(tools("docker.run", image=BASE, command=SLEEP, detach=True, name="web"))
    result = tools("docker.exec", container="web", command=["sleep", "500"])
    assert result.metadata["killed"] is True
    assert wait_for(lambda: "Up" not in tools("docker.ps", all=True).output)


def test_rm_needs_force_for_what_runs(do: Call):
    ok(do("run", image=BASE, command=SLEEP, detach=True, name="web"))
    assert not do("rm", container="web").ok
    ok(do("rm", container="web", force=True))


def test_images_and_inspect_show_own_images_only(do: Call, podman: Store):
    assert do("images").metadata["images"] == 0
    ok(do("build", tag="app"))
    assert "/app:latest" in ok(do("images")).output
    assert "agenttask-base" not in do("images").output
    facts = json.loads(ok(do("inspect", name="app")).output)
    assert facts["Config"]["Labels"]["agenttask.dev/kind"] == "image"
    assert do("inspect", name=BASE).denied


@pytest.mark.parametrize("operation", ["exec", "logs", "stop", "rm", "inspect"])
@pytest.mark.parametrize("how", ["name", "id", "label"])
def test_foreign_containers_are_out_of_reach(do: Call, podman: Store, operation, how):
    options = [f"--label=agenttask.dev/run={KEY}", "--label=agenttask.dev/kind=image"]
    foreign = podman.person_runs("--name=theirs", *(options if how == "label" else []))
    try:
        word = "theirs" if how == "name" else foreign
        key = "name" if operation == "inspect" else "container"
        extra: dict[str, Any] = {"command": ["true"]} if operation == "exec" else {}
        extra |= {"force": True} if operation == "rm" else {}
        result = do(operation, **{key: word}, **extra)
        assert result.denied, result
        assert do("ps", all=True).metadata["containers"] == 0
        assert podman.podman("ps", "--format", "{{.Names}}") == "theirs"
    finally:
        podman.podman("rm", "--force", "--time=0", "theirs")


@pytest.mark.parametrize("operation", ["exec", "logs", "stop", "rm", "inspect"])
def test_hostile_names(do: Call, podman: Store, operation):
    foreign = podman.person_runs()
    key = "name" if operation == "inspect" else "container"
    extra: dict[str, Any] = {"command": ["true"]} if operation == "exec" else {}
    for word in ("--all", "-a", "-l", "--latest", "", "a" * 129, ".*", "$(id)", "*", "\0", "\n"):
        assert not do(operation, **{key: word}, **extra).ok
    assert podman.podman("ps", "--quiet", "--no-trunc") == foreign
    podman.podman("rm", "--force", "--time=0", foreign)


def test_logs_are_bounded(do: Call):
    assert not do("logs", container="x", tail=0).ok
    assert not do("logs", container="x", tail=1_000_000).ok


def test_a_container_started_from_our_image_by_a_person_is_not_ours(do: Call, podman: Store):
    image = str(ok(do("build", tag="app")).metadata["id"])
    limits = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--network=none")
    theirs = podman.podman("run", "--detach", *limits, image, "sleep", "600")
    assert do("ps", all=True).metadata["containers"] == 0
    podman.podman("rm", "--force", "--time=0", theirs)


def test_a_dockerfile_cannot_claim_to_be_another_run(make_docker, podman: Store):
    text = f"FROM {BASE}\nLABEL agenttask.dev/run=other agenttask.dev/kind=container\n"
    tools = make_docker({"Dockerfile": text})
    image = str(ok(tools("docker.build")).metadata["id"])
    labels = json.loads(podman.podman("image", "inspect", image))[0]["Labels"]
    assert (labels["agenttask.dev/run"], labels["agenttask.dev/kind"]) == (KEY, "image")


def test_without_an_engine_the_family_says_so(make_tools: MakeTools):
    tools = make_tools(role=None, catalogue=docker.OPERATIONS)
    for operation in docker.OPERATIONS:
        words = {"container": "x", "command": ["x"], "image": "x", "name": "x"}
        known = {k: v for k, v in words.items() if k in operation.params.model_fields}
        assert "not available" in str(tools(operation.key, **known).error)
    assert len(docker.OPERATIONS) == 9


@pytest.mark.parametrize("operation", ["ps", "images"])
def test_an_engine_that_fails_is_a_failed_result(make_docker, operation: str):
    tools = make_docker()
    made = tools.toolbox.context.docker
    broken = replace(made.engine, argv=(*made.engine.argv, "--runroot=/proc/none"))
    tools.toolbox.context = replace(tools.toolbox.context, docker=replace(made, engine=broken))
    result = tools(f"docker.{operation}")
    assert (result.ok, result.denied) == (False, False)
    assert "internal error" not in str(result.error)


def test_a_variable_with_a_secrets_name_is_not_in_the_audit(make_docker):
    tools = make_docker()
    env = {"DB_PASSWORD": "credential-1", "PLAIN": "seen"}
    ok(tools("docker.run", image=BASE, command=["true"], env=env))
    kept = tools.audit.path.read_text()
    assert "credential-1" not in kept
    assert '"PLAIN": "seen"' in kept
