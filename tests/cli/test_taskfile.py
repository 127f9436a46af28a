"""A file that cannot be used is refused with its place and what to do."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.e2e.apiobjects import task as api_task
from tests.e2e.test_crd_rules import BAD_TASKS, GOOD_TASKS

from agenttask_api.rules import NAME_RULE, TASK_RULES
from agenttask_cli.errors import BadInput
from agenttask_cli.taskfile import read_class, read_task

ROOT = Path(__file__).parents[2]
SAID_OTHERWISE = {"another scheme": "spec.repo.url", "a step named twice": "spec.verify"}
"""Where the API server's own words, not ours, are in the table."""


@pytest.fixture
def refusal(tmp_path: Path):
    """Write a task and return what reading it says."""

    def read(text: str) -> str:
        path = tmp_path / "task.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BadInput) as caught:
            read_task(path)
        assert all(line.startswith(f"{path}: ") for line in caught.value.lines)
        return "\n".join(line.removeprefix(f"{path}: ") for line in caught.value.lines)

    return read


@pytest.mark.parametrize(("text", "advice"), BAD_TASKS.values(), ids=BAD_TASKS.keys())
def test_what_the_api_server_refuses_is_refused(refusal, request, text, advice):
    advice = SAID_OTHERWISE.get(request.node.callspec.id, advice)
    assert advice in refusal(text)


@pytest.mark.parametrize("text", GOOD_TASKS.values(), ids=GOOD_TASKS.keys())
def test_what_the_api_server_takes_is_taken(tmp_path: Path, text: str):
    (tmp_path / "task.yaml").write_text(text, encoding="utf-8")
    assert read_task(tmp_path / "task.yaml").spec.repo.url


def test_every_rule_of_the_schema_is_here_with_its_message():
    crd = yaml.safe_load((ROOT / "crds" / "agenttask.yaml").read_text("utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    there = {" ".join(m.split()) for rule, m in validations(schema) if "oldSelf" not in rule}
    assert there == {NAME_RULE} | {rule.message for rule in TASK_RULES}


def validations(node: object):
    """Yield rule and message of every CEL validation."""
    if isinstance(node, dict):
        for found in node.get("x-kubernetes-validations", []):
            yield found["rule"], found["message"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from validations(inner)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (api_task(promt="x"), "spec.promt: unknown field; did you mean prompt?"),
        (api_task(repo={"revison": "x"}), "spec.repo.revison: unknown field; did you mean rev"),
        (api_task(verify=[{"name": "a", "runs": ["b"], "run": ["b"]}]), "mean run?"),
        (api_task(constraints={"maxIterations": "10"}), "valid integer; it is"),
        (api_task(constraints={"maxIterations": 0}), "maxIterations: input should be greater"),
        (api_task(role="BOSS"), "spec.role: input should be 'DEV', 'QA'"),
        (api_task(repo=None), "spec.repo: is required"),
        ("a: [", "line 1, column 5: "),
        ("kind: AgentTask\nkind: AgentTask\n", "line 2, column 1: the key 'kind' is given twice"),
        ("", "holds 0 objects"),
        ("- a", "kind: is 'list'"),
        ("kind: Job", "kind: is 'Job'"),
        ("kind: AgentTask\napiVersion: v1", "apiVersion: is 'v1'; write agenttask.dev/v1alpha1"),
        (api_task().replace('"spec":', '"sepc":'), "sepc: unknown"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_place(refusal, text: str, words: str):
    assert words in refusal(text)


def test_null_is_as_left_out(tmp_path: Path):
    path = tmp_path / "task.yaml"
    text = api_task().replace('"prompt":', '"context": null, "verify": null, "prompt":')
    path.write_text(text, encoding="utf-8")
    assert read_task(path).spec.context == ""


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_task(tmp_path / "no.yaml")
    (tmp_path / "task.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="is not UTF-8"):
        read_task(tmp_path / "task.yaml")


def test_the_example_class_can_be_read():
    assert read_class(ROOT / "examples" / "agentclass.yaml").model.name == "Qwen/Qwen3-0.6B"


def test_a_task_from_stdin_is_read_once_for_checking_and_sending():
    code = (
        "from pathlib import Path\n"
        "from agenttask_cli.taskfile import read_manifest\n"
        "task, manifest = read_manifest(Path('-'))\n"
        "print(task.name, manifest['spec']['prompt'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=api_task(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "fix-12 Fix issue 12\n", done.stderr
