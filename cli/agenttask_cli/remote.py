"""The commands that talk to a cluster: each asks, decides in a pure function, and prints."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agenttask_cli.checkout import users_environment
from agenttask_cli.cluster import Cluster, ClusterError
from agenttask_cli.diagnosis import diagnose
from agenttask_cli.errors import EX_FAILED, EX_SUCCEEDED
from agenttask_cli.statuses import is_over, report_lines, state_line
from agenttask_cli.taskfile import read_manifest
from agenttask_courier.journal import clean

FETCH_SECONDS = 300.0
MAX_COMMITS = 100
"""Of the result branch, to find its base in."""
Object = dict[str, Any]


def submit(cluster: Cluster, file: Path, namespace: str, wait: bool) -> int:
    """Apply the task in the file; raises BadInput and ClusterError."""
    task, manifest = read_manifest(file)
    where = namespace or manifest["metadata"].get("namespace") or cluster.namespace
    manifest["metadata"]["namespace"] = where
    manifest.pop("status", None)
    cluster.apply_task(manifest, where)
    say(f"agenttask.agenttask.dev/{task.name} applied in {where}")
    return follow(cluster, task.name, where) if wait else EX_SUCCEEDED


def follow(cluster: Cluster, name: str, namespace: str = "") -> int:
    """Print every change of the task's state until it has ended; return the exit code."""
    last = ""
    for found in cluster.changes(name, namespace):
        status = found.get("status", {})
        line = state_line(status)
        if line != last:
            say(line)
            last = line
        if is_over(found):
            return EX_SUCCEEDED if status["phase"] == "Succeeded" else EX_FAILED
    raise AssertionError("unreachable: the changes have no end")


def logs(cluster: Cluster, name: str, container: str, follow_it: bool) -> int:
    """Print the log of the task's newest pod."""
    cluster.task(name)
    pods = cluster.pods(name)
    if not pods:
        raise ClusterError(
            f"AgentTask {name!r} has no pod; its finished one may be removed already"
        )
    for line in cluster.log(pods[-1]["metadata"]["name"], container, follow_it):
        say(clean(line))
    return EX_SUCCEEDED


def report(cluster: Cluster, name: str) -> int:
    """Print the whole story of the task."""
    found = cluster.task(name)
    say(state_line(found.get("status", {})))
    for key, text in report_lines(found):
        say(f"  {key:11}{text}")
    return EX_SUCCEEDED


def diff(cluster: Cluster, name: str, environ: Mapping[str, str]) -> int:
    """Print the pushed change as a patch, fetched with the user's own git."""
    found = cluster.task(name)
    artifacts = found.get("status", {}).get("artifacts", {})
    if not artifacts.get("branch"):
        raise ClusterError(
            f"AgentTask {name!r} has pushed no branch: {state_line(found['status'])}"
        )
    with tempfile.TemporaryDirectory(prefix="agenttask-diff-") as folder:
        _git(folder, environ, "init", "-q", "--bare", "--template=")
        ref = f"refs/heads/{artifacts['branch']}"
        url = found["spec"]["repo"]["url"]
        _git(folder, environ, "fetch", "-q", f"--depth={MAX_COMMITS}", "--", url, ref)
        commits = artifacts["baseCommit"], artifacts["commitSHA"]
        sys.stdout.buffer.write(_git(folder, environ, "diff", *commits, "--"))
    return EX_SUCCEEDED


def cancel(cluster: Cluster, name: str) -> int:
    """Ask for the task's end."""
    cluster.cancel_task(name)
    say(f"agenttask.agenttask.dev/{name} is being cancelled")
    return EX_SUCCEEDED


def doctor(cluster: Cluster) -> int:
    """Print what is in order and what is not; 1 when something is not."""
    resources = cluster.known_resources()
    classes = cluster.classes() if "agentclasses" in resources else []
    findings = list(diagnose(resources, cluster.operators(), classes))
    for good, text in findings:
        say(f"{'ok  ' if good else 'BAD '} {text}")
    return EX_SUCCEEDED if all(good for good, _ in findings) else EX_FAILED


def say(text: str) -> None:
    """Print one line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _git(folder: str, environ: Mapping[str, str], *arguments: str) -> bytes:
    argv = ["git", f"--git-dir={folder}", *arguments]
    environment = {**users_environment(environ), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = subprocess.run(
        argv, env=environment, capture_output=True, timeout=FETCH_SECONDS, check=False
    )
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise ClusterError(f"git {arguments[0]}: {words}")
    return done.stdout
