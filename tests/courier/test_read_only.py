"""A read-only run, whole: real agent, real courier, a model that tries everything.

What it can reach is hashed before and after: the workspace with its `.git`, the
repository that is its remote there, and the real remote.
"""

import asyncio
import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import FINISH, PACKAGES, script_of
from tests.agent.door import serving
from tests.courier.conftest import MakeDocument, Origin, git
from tests.courier.pod import running_pod
from tests.servers.vllm import MODEL

from agenttask_agent.rehearsal.server import make_app
from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_api.taskdocument import TaskDocument
from agenttask_courier.places import Places

LIMITS = {
    "readOnly": True,
    "maxOperations": 500,
    "maxIterations": 300,
    "maxModelTokens": 10_000_000,
}
PATCH = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Draft 1\n+# Changed\n"
PLAIN: dict[str, Any] = {
    "path": "README.md", "paths": ["README.md"], "file1": "README.md", "source": "README.md",
    "target": "new.md", "content": "new\n", "search": "Draft", "replace": "Changed", "patch": PATCH,
    "pattern": "Draft", "recursive": True, "create": True, "branch": "new", "message": "Work",
    "ref": "HEAD", "force": True, "list_all": True, "cached": True, "image": "x", "container": "x",
    "command": ["touch", "x"], "name": "x", "url": "http://127.0.0.1/", "method": "POST",
    "connection": "x", "query": "DELETE FROM x",
}  # fmt: skip
HOSTILE: dict[str, Any] = PLAIN | {
    "path": ".git/hooks/pre-commit", "paths": "all", "file1": "link", "source": ".git/config",
    "target": "../outside", "patch": PATCH.replace("README.md", ".git/config"),
    "pattern": "--pre=touch x", "branch": "main", "delete": "main", "ref": "--output=x",
    "url": "REMOTE", "files": ["link"], "start": 1, "staged": True, "author": "A <a@b.c>",
}  # fmt: skip


def attempts(url: str) -> list[dict[str, Any]]:
    """Return calls of every operation with nothing, plain and hostile arguments.

    After each operation comes something that works and is new: the same error or the same
    call too often would end the run.
    """
    calls: list[dict[str, Any]] = []
    for number, operation in enumerate(CATALOGUE, 1):
        names = {field.alias or name for name, field in operation.params.model_fields.items()}
        for values in ({}, PLAIN, HOSTILE):
            given = {name: value for name, value in values.items() if name in names}
            given = {name: url if value == "REMOTE" else value for name, value in given.items()}
            call = {"name": operation.wire_name, "arguments": given}
            calls += [call] if call not in calls else []
        calls.append({"name": "git_log", "arguments": {"max_count": 100 + number}})
    return calls


def fingerprint(*folders: Path) -> str:
    """Return a hash over kind, mode and content of everything in the folders."""
    found = hashlib.sha256()
    for path in sorted(path for folder in folders for path in (folder, *folder.rglob("*"))):
        state = path.lstat()
        found.update(f"{path} {state.st_mode:o}\n".encode())
        if stat.S_ISLNK(state.st_mode):
            found.update(os.fsencode(path.readlink()))
        elif stat.S_ISREG(state.st_mode):
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


async def work(places: Places, document: TaskDocument) -> str:
    """Run the agent to its end in this pod; return what it printed."""
    places.task_file.write_text(document.model_dump_json(by_alias=True), encoding="utf-8")
    agent_tmp = places.tmp / "agent"
    agent_tmp.mkdir()
    parts = {
        "--task": places.task_file,
        "--door": places.door_socket,
        "--repo": places.repo,
        "--home": agent_tmp,
        "--tmp": agent_tmp,
    }
    argv = [str(part) for pair in parts.items() for part in pair]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agenttask_agent", "run", *argv, "--model-pause=0.01"),
        env={"PATH": path, "PYTHONPATH": PACKAGES},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 100)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode()


@pytest.mark.parametrize("role", ["DEV", "DEVOPS", "DATA"])
async def test_it_leaves_workspace_and_remotes_as_they_were(
    places: Places, origin: Origin, make_document: MakeDocument, role: str
):
    (origin.work / "link").symlink_to("README.md")
    (origin.work / "tool.sh").write_text("#!/bin/sh\n")
    (origin.work / "tool.sh").chmod(0o755)
    git(origin.work, "add", "--all")
    git(origin.work, "commit", "-qm", "more kinds of files")
    git(origin.work, "push", "-q", "origin", "HEAD:main")
    document = make_document(
        role=role,
        output={"mode": "None"},
        constraints=LIMITS,
        model={"name": MODEL, "profile": "Large", "contextWindow": 10_000_000},
        clocks={"runSeconds": 120, "flushSeconds": 5, "graceSeconds": 30},
    )
    calls = attempts(str(places.agent_remote))
    # One in each reply: within one, a failed change takes the later ones with it.
    script = script_of(*({"tool_calls": [call]} for call in calls), *FINISH).model_copy(
        update={"model": MODEL}
    )
    with serving(make_app([script])) as model:
        async with running_pod(places, document, model) as pod:
            remotes = places.agent_remote, places.pristine_repo, origin.server.root
            before = fingerprint(places.workspace), fingerprint(*remotes)
            printed = await work(places, document)
            assert (fingerprint(places.workspace), fingerprint(*remotes)) == before
            report = pod.courier.inbox.report
            assert pod.digest().final, printed
    assert report is not None
    assert {call["name"] for call in calls} == {o.wire_name for o in CATALOGUE}
    assert len(report.operations) == len(calls) == len(report.audit_trail), printed
    done = {o.operation for o in report.operations if o.success}
    assert done >= {"files.read_file", "files.search_in_files", "git.status", "git.log", "git.show"}
    readers = {operation.key for operation in CATALOGUE if operation.read_only}
    assert done <= readers
