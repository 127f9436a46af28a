"""The same task without a cluster gives the same result document."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import model_url
from tests.courier.conftest import git
from tests.e2e.tasks import Home, until

from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.demo import WHERE, nats_result

__all__ = ["model_url"]
NAME = "hello-world"
DIFFERS = {
    "which run it was": ("event_id", "trace_id", "pod_uid"),
    "when, and how long it took": ("ts", "operations.*.duration_ms",
        "verification.steps.*.duration_seconds", "report.timings"),
    "the commit's time is in its name": ("artifacts.change.commit_sha", "report.commit"),
    "nothing is pushed from here unasked": ("artifacts.change.pushed",),
    "times in the audit, and the chain of hashes over them": ("audit_trail.*.timestamp",
        "audit_trail.*.prev_sha256", "audit_trail.*.duration_ms"),
    "the tests' own output has times and paths": ("operations.*.metadata.seconds",
        "operations.*.metadata.output", "audit_trail.*.metadata.seconds",
        "audit_trail.*.metadata.output"),
    "where files are kept": ("artifacts.refs.*.ref",),
    "files with times in them": ("artifacts.refs.transcript_jsonl", "artifacts.refs.audit_jsonl",
        "artifacts.refs.report_json", "artifacts.refs.tests_log",
        "artifacts.refs.workspace-report_json"),
}  # fmt: skip
"""Everything that may differ, and why. What is not named here must be equal."""
MANY = 200
"""A document with fewer values would be compared with nothing."""
DURATION = re.compile(r"in [0-9]+\.[0-9]{2}s")
"""As pytest ends its last line."""


@pytest.fixture
def remote(testbed: Kubectl, tmp_path: Path) -> Path:
    return copy_of_the_remote(testbed, tmp_path, "main")


def copy_of_the_remote(kubectl: Kubectl, folder: Path, *branches: str) -> Path:
    """Return a local copy of the cluster's git repository: the same commits."""
    script = f"git -C /repos/hello.git bundle create -q - {' '.join(branches)} | base64"
    bundle = folder / "hello.bundle"
    text = kubectl("-n", WHERE, "exec", "deploy/git", "--", "sh", "-c", script)
    bundle.write_bytes(base64.b64decode(text))
    git(folder, "clone", "-q", "--bare", str(bundle), "hello.git")
    return folder / "hello.git"


def test_a_local_run_gives_the_document_that_the_cluster_publishes(
    testbed: Kubectl, remote: Path, tmp_path: Path, model_url: str
) -> None:
    home = Home(testbed, WHERE)
    home.apply((ROOT / "examples" / f"{NAME}.yaml").read_text("utf-8"))
    until(home, NAME, phase="Succeeded")

    there = comparable(nats_result(testbed, NAME))
    here = comparable(run_here(testbed, remote, tmp_path, model_url))

    keys = sorted(here.keys() | there.keys())
    differences = {k: (here.get(k), there.get(k)) for k in keys if here.get(k) != there.get(k)}
    assert differences == {}
    assert len(here) > MANY


def run_here(kubectl: Kubectl, remote: Path, folder: Path, model_url: str) -> dict[str, Any]:
    """Run the example with the cluster's own class, and return the document."""
    task = yaml.safe_load((ROOT / "examples" / f"{NAME}.yaml").read_text("utf-8"))
    task["metadata"]["namespace"] = WHERE
    (folder / "task.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    class_ = kubectl("get", "agentclass", "default", "-o", "yaml")
    (folder / "class.yaml").write_text(class_, encoding="utf-8")
    url = task["spec"]["repo"]["url"]
    (folder / ".gitconfig").write_text(f'[url "{remote}"]\n\tinsteadOf = {url}\n', "utf-8")
    path = f"{plain_python(folder)}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "agenttask_cli", "run", "-f", "task.yaml", "--class", "class.yaml",
         "--model-url", model_url, "--json"],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def plain_python(folder: Path) -> Path:
    """Return a folder with a python3 whose pytest has no plugins, as in the agent's image."""
    programs = folder / "bin"
    programs.mkdir()
    script = f'#!/bin/sh\nPYTEST_DISABLE_PLUGIN_AUTOLOAD=1 exec "{sys.executable}" "$@"\n'
    (programs / "python3").write_text(script, encoding="utf-8")
    (programs / "python3").chmod(0o755)
    return programs


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document by path, without what may differ."""
    refs = {ref.pop("name").replace(".", "_"): ref for ref in document["artifacts"]["refs"]}
    document["artifacts"]["refs"] = refs
    dropped = [path.split(".") for paths in DIFFERS.values() for path in paths]
    return {
        ".".join(path): value
        for path, value in leaves(document, ())
        if not any(matches(path, pattern) for pattern in dropped)
    }


def leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every plain value with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*path, str(number)))
    else:
        yield path, DURATION.sub("in N s", value) if isinstance(value, str) else value


def matches(path: tuple[str, ...], pattern: list[str]) -> bool:
    """Say whether a pattern means the path or what lies below it; `*` is any one part."""
    return len(path) >= len(pattern) and all(
        want in ("*", part) for want, part in zip(pattern, path, strict=False)
    )
