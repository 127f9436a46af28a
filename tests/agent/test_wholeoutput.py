"""The tests' whole output: one file of a run, masked, bounded, named in the results."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import FINISH, MakePod, MakeTools, call, script_of
from tests.agent.toolboxes import Tools

from agenttask_agent.redact import Redactor
from agenttask_agent.tools.wholeoutput import WholeOutput, read_whole

SECRET = "hunter2-hunter2"
NOISY = (
    "def test_x():\n"
    "    middle = 'the-middle'.replace('-', ' ')\n"
    "    print('start ' + 'x' * 200_000 + middle + 'y' * 200_000 + ' end')\n"
    "    assert False\n"
)


def section_of(facts: Any, content: bytes) -> bytes:
    """Return the bytes that a result's metadata names, having checked their sha256."""
    part = content[facts["offset"] : facts["offset"] + facts["bytes"]]
    assert hashlib.sha256(part).hexdigest() == facts["sha256"]
    return part


def log_of(tools: Tools) -> Path:
    assert tools.toolbox.context.whole_output
    return tools.toolbox.context.whole_output.path


def test_the_whole_output_of_each_call_is_a_section_of_one_file(make_tools: MakeTools):
    tools = make_tools({"test_x.py": NOISY, "test_y.py": "def test_y(): pass\n"}, max_output=5000)
    first = tools("tests.pytest", path="test_x.py")
    second = tools("tests.pytest", path="test_y.py")
    assert first.truncated
    assert "the middle" not in first.output
    content = log_of(tools).read_bytes()
    whole = section_of(first.metadata["output"], content)
    assert b"start " in whole
    assert b"xthe middley" in whole
    assert b" end" in whole
    assert b"1 passed" in section_of(second.metadata["output"], content)
    assert whole.startswith(b"==> ")
    assert "incomplete" not in str(first.metadata)


def test_the_audit_names_the_output(make_tools: MakeTools):
    tools = make_tools({"test_y.py": "def test_y(): pass\n"})
    result = tools("tests.pytest")
    assert tools.audit.entries[-1]["metadata"] == result.metadata
    assert tools.audit.operations[-1].metadata == result.metadata


def test_secrets_are_masked_in_it(make_tools: MakeTools):
    code = f"def test_x():\n    import base64\n    print({SECRET!r})\n"
    code += f"    print(base64.b64encode(b'user:{SECRET}').decode())\n    assert False\n"
    tools = make_tools({"test_x.py": code}, secrets=(SECRET,))
    tools("tests.pytest")
    text = log_of(tools).read_text()
    assert "<secret-hidden>" in text
    assert SECRET not in text
    assert "aHVudGVyMi1odW50ZXIy"[2:-2] not in text


def test_a_timeout_keeps_what_was_said_until_then(make_tools: MakeTools):
    code = "import time\ndef test_x():\n    print('so far', flush=True)\n    time.sleep(60)\n"
    tools = make_tools({"Makefile": "test:\n\t@echo so far; sleep 60\n", "a": code}, seconds=2.0)
    result = tools("tests.make_test")
    assert result.exit_code is None
    assert b"so far" in section_of(result.metadata["output"], log_of(tools).read_bytes())


def log(tmp_path: Path, **bounds: int) -> WholeOutput:
    return WholeOutput(tmp_path / "tests.log", Redactor([SECRET]), "tests.log", **bounds)


def write(whole: WholeOutput, content: bytes) -> dict[str, Any]:
    with whole.section("t") as section:
        section.feed(content)
    return section.facts()


def test_a_section_and_the_file_have_bounds(tmp_path: Path):
    whole = log(tmp_path, max_section=100, max_bytes=150)
    first, second, third = (write(whole, b"z" * 500) for _ in range(3))
    assert (first["bytes"], second["bytes"], third["bytes"]) == (100, 50, 0)
    assert {f["incomplete"] for f in (first, second, third)} == {"the file has its full size"}
    assert whole.path.stat().st_size == 150
    section_of(second, whole.path.read_bytes())


def test_exactly_at_the_bound_nothing_is_missing(tmp_path: Path):
    facts = write(log(tmp_path, max_section=len("==> t\n") + 10), b"z" * 10)
    assert "incomplete" not in facts


def test_a_full_disk_is_said_and_fails_nothing(tmp_path: Path):
    """The limit of a file's size stands for the disk: the same call fails the same way."""
    script = (
        "import json, resource\n"
        "from pathlib import Path\n"
        "from agenttask_agent.redact import Redactor\n"
        "from agenttask_agent.tools.wholeoutput import WholeOutput\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"whole = WholeOutput(Path({str(tmp_path / 'tests.log')!r}), Redactor(), 'tests.log')\n"
        "with whole.section('t') as section:\n"
        "    section.feed(b'z' * 5000)\n"
        "    section.feed(b'z')\n"
        "print(json.dumps(section.facts()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    facts = json.loads(done.stdout)
    assert (facts["bytes"], facts["incomplete"]) == (1000, "File too large")
    section_of(facts, (tmp_path / "tests.log").read_bytes())


@pytest.mark.parametrize("trap", ["link", "hard link", "folder", "fifo"])
def test_what_the_tests_put_in_its_place_is_not_written_to(make_tools: MakeTools, trap: str):
    tools = make_tools({"test_y.py": "def test_y(): pass\n"})
    path, victim = log_of(tools), log_of(tools).with_name("victim")
    victim.write_text("as it was")
    traps = {
        "link": lambda: path.symlink_to(victim),
        "hard link": lambda: path.hardlink_to(victim),
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }
    traps[trap]()
    result = tools("tests.pytest")
    assert result.ok
    assert "not kept" in str(result.metadata["output"])
    assert victim.read_text() == "as it was"
    with pytest.raises(OSError):
        read_whole(path)


def test_the_run_hands_it_over_and_names_it(make_pod: MakePod):
    script = script_of(call("tests_pytest"), call("tests_pytest"), *FINISH)
    pod = make_pod(
        script, project={"test_y.py": "def test_y():\n    print('seen')\n    assert 0\n"}
    )
    pod.run()
    assert pod.door.order[:3] == ["transcript.jsonl", "audit.jsonl", "tests.log"]
    assert pod.door.report
    outputs: list[Any] = [o.metadata["output"] for o in pod.door.report.operations]
    for facts in outputs:
        assert b"seen" in section_of(facts, pod.door.artifacts["tests.log"])
    assert len({facts["offset"] for facts in outputs}) == 2


def test_a_run_without_tests_hands_none_over(make_pod: MakePod):
    pod = make_pod(script_of(call("git_status"), *FINISH))
    pod.run()
    assert set(pod.door.artifacts) == {"transcript.jsonl", "audit.jsonl"}


def test_it_takes_no_more_than_half_of_a_tasks_artifacts(make_pod: MakePod):
    script = script_of(call("tests_pytest"), *FINISH)
    pod = make_pod(script, project={"test_x.py": NOISY}, artifacts={"maxBytes": 100_000})
    pod.run()
    assert len(pod.door.artifacts["tests.log"]) == 50_000


def test_a_call_by_hand_tells_the_file(make_tools: MakeTools, tmp_path: Path):
    tools = make_tools({"test_x.py": NOISY.replace("assert False", "assert True")})
    (tmp_path / "temporary").mkdir()
    command = [sys.executable, "-m", "agenttask_agent", "call", "tests.pytest"]
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "temporary"), "API_KEY": "1 passed"}
    done = subprocess.run(
        [*command, "--workspace", str(tools.root)], capture_output=True, env=env, check=False
    )
    facts = json.loads(done.stdout)["metadata"]["output"]
    path = Path(facts["artifact"])
    assert path.parent == tmp_path / "temporary"
    assert path.stat().st_mode & 0o777 == 0o600
    whole = section_of(facts, path.read_bytes())
    assert b"<secret-hidden> in" in whole
    assert b"1 passed" not in whole
