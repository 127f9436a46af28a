"""git over ssh: a real sshd in a pod, a deploy key, and a host key that has to be the known one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.tasks import PYTEST, Home, finished, host_pids, logs, pods, status, task
from tests.servers.sshd import make_key

from agenttask_testbed import services
from agenttask_testbed.commands import Kubectl
from agenttask_testbed.demo import FINISHED, WHERE

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
HOST = f"git-ssh.{WHERE}.svc"
BARE = "/repos/hello.git"


@dataclass(frozen=True)
class Keys:
    """The private key that the server lets in, and the server's line for known_hosts."""

    client: str
    known_hosts: str


@pytest.fixture(scope="module")
def keys(testbed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    folder = tmp_path_factory.mktemp("keys")
    host, client = make_key(folder / "host"), make_key(folder / "client")
    authorized = (folder / "client.pub").read_text("utf-8")
    services.deploy_git_ssh(testbed, WHERE, host.read_text("utf-8"), authorized)
    yield Keys(client.read_text("utf-8"), known_host(folder / "host.pub"))
    testbed("-n", WHERE, "delete", "deploy/git-ssh", "svc/git-ssh", "secret/git-ssh")


def known_host(public: Path) -> str:
    return " ".join([HOST, *public.read_text("utf-8").split()[:2]]) + "\n"


def ssh_task(name: str) -> dict[str, Any]:
    repo = {"url": f"ssh://git@{HOST}{BARE}", "credentialsRef": {"name": "deploy-key"}}
    return task(name, HELLO, repo=repo, verify=[PYTEST])


def give(home: Home, private: str, known_hosts: str) -> None:
    """Put the deploy key into the namespace."""
    data = {"ssh-privatekey": private, "known_hosts": known_hosts}
    home.apply(services.secret("deploy-key", data, kind="kubernetes.io/ssh-auth"))


def branches(home: Home) -> dict[str, str]:
    """Return the server's branches and their commits."""
    form = "--format=%(refname:short) %(objectname)"
    inside = ("-n", WHERE, "exec", "deploy/git-ssh", "-c", "sshd", "--")
    listed = home.kubectl(*inside, "git", "-C", BARE, "for-each-ref", form, "refs/heads")
    return dict(line.split(" ") for line in listed.splitlines())


def secret_lines(private: str) -> list[str]:
    """Return the lines of a private key that hold its secret half; the first is every key's."""
    return [line for line in private.splitlines() if not line.startswith("-----")][1:]


def processes(pod_uid: str) -> str:
    """Return arguments and environment of all processes that a pod has right now."""
    texts = []
    for pid in host_pids(pod_uid, ""):
        for name in ("cmdline", "environ"):
            try:
                texts.append(
                    (Path("/proc") / str(pid) / name).read_bytes().decode("utf-8", "replace")
                )
            except OSError:
                continue
    return "\n".join(texts)


def watch_processes(home: Home, name: str) -> str:
    """Return what the pod's processes showed, looked at again and again until the task ends."""
    seen: list[str] = []
    while status(home, name).get("phase") not in FINISHED:
        seen += [processes(pod["metadata"]["uid"]) for pod in pods(home, name)]
    return "\n".join(seen)


def test_task_clones_and_pushes_and_the_key_is_nowhere(home: Home, keys: Keys) -> None:
    give(home, keys.client, keys.known_hosts)
    wanted = ssh_task("by-ssh")
    home.apply(wanted)

    shown = {"processes": watch_processes(home, "by-ssh")}

    state = finished(home, "by-ssh")
    assert (state["phase"], state["reason"]) == ("Succeeded", "Completed"), state["message"]
    assert branches(home)[wanted["spec"]["output"]["branch"]] == state["artifacts"]["commitSHA"]
    shown["logs"] = logs(home, "by-ssh")
    shown |= {kind: json.dumps(home.get(kind)) for kind in ("agenttasks", "events", "jobs", "pods")}
    assert "agenttask-courier" in shown["processes"]
    lines = secret_lines(keys.client)
    assert len(lines) >= 3
    assert [where for where, text in shown.items() if any(line in text for line in lines)] == []


def test_another_host_key_ends_the_task_before_anything_is_cloned(
    home: Home, keys: Keys, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    give(home, keys.client, known_host(tmp_path / "other.pub"))
    before = branches(home)
    home.apply(ssh_task("other-host"))

    state = finished(home, "other-host")

    assert (state["phase"], state["reason"]) == ("Failed", "CloneAuthFailed")
    assert "host key" in state["message"]
    assert HOST in state["message"]
    assert branches(home) == before
