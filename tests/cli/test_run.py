"""Whole runs without a cluster: a real git, a rehearsed model, the command itself."""

import json
from pathlib import Path

from tests.cli.conftest import HELLO, PYTEST, URL, Desk
from tests.courier.conftest import git

from agenttask_api.result import AgentResult

BRANCH = "agenttask/greet"


def test_a_clone_of_its_own_holds_the_verified_branch(desk: Desk):
    done = desk.run(desk.task())
    assert done.code == 0, done
    assert "Succeeded (Verified): Completed" in done.out
    assert "step 4: files.edit_file succeeded" in done.out
    assert done.err == ""
    folder = desk.here / "agenttask-out" / "greet"
    result = AgentResult.model_validate_json((folder / "result.json").read_bytes())
    change = result.artifacts.change
    assert git(folder / "repo", "rev-parse", BRANCH) == change.commit_sha
    assert git(folder / "repo", "config", "remote.origin.url") == URL
    assert "def hello_world" in (folder / "repo" / "utils.py").read_text("utf-8")
    assert result.artifacts.tests is not None
    assert result.artifacts.tests.passed == 4
    assert change.pushed is False
    assert git(desk.remote, "branch", "--format=%(refname:short)") == "main"
    for ref in result.artifacts.refs:
        assert Path(ref.ref.removeprefix("file://")).stat().st_size == ref.size
    assert git(desk.here, "init", "-q") == ""
    assert git(desk.here, "status", "--porcelain") == "?? greet.yaml"
    assert desk.left_behind() == []


def test_push_brings_the_judged_commit_to_the_remote(desk: Desk):
    done = desk.run(desk.task(), "--push", "--json", "--output", "result")
    assert done.code == 0, done
    result = json.loads(done.out)
    assert result["artifacts"]["change"]["pushed"] is True
    assert git(desk.remote, "rev-parse", BRANCH) == result["artifacts"]["change"]["commit_sha"]
    assert "Succeeded" in done.err
    assert json.loads((desk.here / "result" / "result.json").read_text("utf-8")) == result


def test_a_refused_push_is_the_outcome(desk: Desk):
    hook = desk.remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho not here >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    done = desk.run(desk.task(), "--push", "--json")
    assert done.code == 1
    assert json.loads(done.out)["stop_reason"] == "PushRejected"
    assert "not here" in done.err


def test_a_checkout_gets_a_branch_and_is_not_touched_otherwise(desk: Desk):
    work = desk.checkout
    git(work, "checkout", "-q", "-b", "mine")
    (work / "notes.txt").write_text("committed\n", encoding="utf-8")
    git(work, "add", ".")
    git(work, "commit", "-qm", "mine")
    git(work, "branch", BRANCH)
    (work / "utils.py").write_text("half written\n", encoding="utf-8")
    (work / "new.txt").write_text("untracked\n", encoding="utf-8")
    before = git(work, "status", "--porcelain"), git(work, "rev-parse", BRANCH, "HEAD")

    done = desk.run(desk.task(), "--workspace", work)

    assert done.code == 0, done
    assert "2 uncommitted files there are not part of the run" in done.out
    assert (git(work, "status", "--porcelain"), git(work, "rev-parse", BRANCH, "HEAD")) == before
    assert (work / "utils.py").read_text("utf-8") == "half written\n"
    assert git(work, "rev-parse", f"{BRANCH}-2^") == git(work, "rev-parse", "mine")
    assert "notes.txt" in git(work, "ls-tree", "--name-only", f"{BRANCH}-2")
    assert "def hello_world" in git(work, "show", f"{BRANCH}-2:utils.py")
    assert "half written" not in git(work, "show", f"{BRANCH}-2:utils.py")


def test_a_broken_change_is_refused_and_its_patch_kept(desk: Desk):
    done = desk.run(desk.task("Shorten slugify() in utils.py to one line."), "--keep")
    assert done.code == 1, done
    assert "Failed (Rejected): VerificationFailed" in done.out
    folder = desk.here / "agenttask-out" / "greet"
    assert "slugify" in (folder / "change.patch").read_text("utf-8")
    assert not (folder / "repo").exists()
    kept = desk.left_behind()
    assert len(kept) == 1
    assert (desk.tmp / kept[0] / "workspace" / "repo" / "utils.py").exists()


def test_no_change_is_a_failure(desk: Desk):
    done = desk.run(desk.task("change nothing at all"), "--json")
    assert done.code == 1
    assert json.loads(done.out)["verdict"] == "NoChange"


def test_the_agent_gets_no_variable_and_no_key_of_the_user(desk: Desk):
    """The agent's own environment, told by a test that it runs with its tools."""
    (desk.checkout / "tests" / "test_env.py").write_text(TELLTALE, encoding="utf-8")
    git(desk.checkout, "add", ".")
    git(desk.checkout, "commit", "-qm", "telltale")
    desk.environ |= {"AGENTTASK_MODEL_API_KEY": "sk-very-secret", "MY_TOKEN": "tok-secret"}
    done = desk.run(desk.task(verify=[]), "--workspace", desk.checkout, "--keep")
    assert done.code == 0, done
    root = desk.tmp / desk.left_behind()[0]
    told = (root / "agent" / "tmp" / "environment.txt").read_text("utf-8")
    names = {line.partition("=")[0] for line in told.split("\0")}
    assert {"PATH", "HOME"} <= names
    assert not names & {"AGENTTASK_MODEL_API_KEY", "MY_TOKEN", "SSH_AUTH_SOCK", "VLLM_URL"}
    for path in [p for p in root.rglob("*") if p.is_file()]:
        content = path.read_bytes()
        assert b"sk-very-secret" not in content, path
        assert b"tok-secret" not in content, path


TELLTALE = """
import os

def test_tell():
    with open(os.path.join(os.environ["TMPDIR"], "environment.txt"), "w") as told:
        told.write("\\0".join(f"{k}={v}" for k, v in os.environ.items()))
"""


def test_two_runs_at_once_do_not_meet(desk: Desk):
    first = desk.start_run(desk.task(name="one"))
    second = desk.start_run(desk.task(name="two"))
    outs = [process.communicate(timeout=120) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outs
    assert (desk.here / "agenttask-out" / "one" / "repo" / "utils.py").exists()
    assert (desk.here / "agenttask-out" / "two" / "repo" / "utils.py").exists()
    assert desk.left_behind() == []


def test_a_class_from_a_file_is_honoured(desk: Desk):
    class_file = desk.here / "class.yaml"
    class_file.write_text(
        "apiVersion: agenttask.dev/v1alpha1\nkind: AgentClass\nmetadata: {name: mine}\n"
        f"spec: {{model: {{endpoint: '{desk.model_url}', name: rehearsal}},"
        " git: {authorName: Somebody, authorEmail: some@body.invalid}}\n",
        encoding="utf-8",
    )
    task = desk.task(verify=[PYTEST])
    process = desk.start("run", "-f", task, "--class", class_file)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    repo = desk.here / "agenttask-out" / "greet" / "repo"
    assert git(repo, "log", "-1", "--format=%an <%ae>") == "Somebody <some@body.invalid>"
    assert HELLO.split(".")[0] in git(repo, "log", "-1", "--format=%s")
