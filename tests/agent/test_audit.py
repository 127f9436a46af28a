"""The audit trail and its two commands."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.toolboxes import Tools

from agenttask_agent.__main__ import main
from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.operation import Answer
from agenttask_api.masking import HIDDEN

SECRET = "s3cret/value+of&the=token"


@pytest.fixture
def trail(tools: Tools) -> Path:
    """Five attempts: good, failed, of no such name, of wrong arguments, good."""
    tools("files.read_file", path="utils.py")
    tools("files.read_file", path="missing")
    tools("files.nothing", path="x")
    tools("git.log", max_count="many")
    tools("git.status")
    return tools.audit.path


def verify(path: Path) -> int:
    return main(["audit", "verify", str(path)])


def test_every_attempt_is_one_entry_of_a_whole_chain(trail: Path):
    assert len(trail.read_text(encoding="utf-8").splitlines()) == 5
    assert verify(trail) == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            lambda lines: [*lines[:2], lines[2].replace("x", "y"), *lines[3:]], id="changed"
        ),
        pytest.param(lambda lines: lines[:2] + lines[3:], id="removed"),
        pytest.param(lambda lines: lines[1:], id="the first removed"),
        pytest.param(lambda lines: [lines[1], lines[0], *lines[2:]], id="another order"),
        pytest.param(lambda lines: [*lines, lines[-1]], id="repeated"),
        pytest.param(lambda lines: [*lines[:2], lines[2][:40], *lines[3:]], id="cut in the middle"),
        pytest.param(lambda lines: [*lines, "[]"], id="no entry"),
    ],
)
def test_damage_shows(trail: Path, damage):
    trail.write_text(
        "\n".join(damage(trail.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8"
    )
    assert verify(trail) == 1


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], [5, 4, 3, 2, 1]),
        (["--tool=files"], [3, 2, 1]),
        (["--tool=files", "--operation=read_file", "--success=false"], [2]),
        (["--success=true", "--limit=1"], [5]),
    ],
)
def test_queries_answer_newest_first(trail: Path, options, found, capsys):
    assert main(["audit", "query", str(trail), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == found


def test_a_missing_file_is_an_error(tmp_path: Path):
    assert verify(tmp_path / "missing") == 1


def test_secrets_never_appear(make_tools: MakeTools):
    tools = make_tools(secrets=(SECRET,))
    forms = [SECRET, base64.b64encode(SECRET.encode()).decode(), quote(SECRET, safe="")]
    for form in forms:
        tools("files.write_file", path="a.txt", content=f"x {form}")
        tools("files.read_file", path=form)
        tools(form, **{form: form})
    text = tools.audit.path.read_text()
    assert [form for form in forms if form in text] == []


def test_a_sink_that_fails_is_counted_and_nothing_else(tools: Tools):
    tools.audit.path.mkdir()
    assert tools("git.status").ok
    assert (tools.audit.lost, len(tools.audit.entries)) == (1, 1)


@pytest.mark.parametrize("depth", [99, 100, 600, 3000])
def test_an_argument_of_any_depth_is_one_entry(tools: Tools, depth: int):
    value: object = "x"
    for _ in range(depth):
        value = [value]
    assert not tools("files.read_file", path=value).ok
    assert len(tools.audit.entries) == 1
    assert verify(tools.audit.path) == 0


def test_a_secret_in_a_results_metadata_is_hidden(make_tools: MakeTools):
    tools = make_tools(secrets=(SECRET,))
    answering = replace(CATALOGUE[0], handler=lambda *_: Answer("x", {"type": SECRET, "n": [1]}))
    tools.toolbox.catalogue = (answering,)
    result = tools(answering.key, path="x")
    assert result.metadata == {"type": HIDDEN, "n": [1]}
    assert SECRET not in tools.audit.path.read_text()
