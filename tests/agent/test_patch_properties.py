"""Any patch that git writes is understood, and any text is a patch or an error."""

import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.agent.projects import GIT_ENV, git

from agenttask_agent.tools import patch
from agenttask_agent.tools.refusal import ToolError

LINES = st.lists(st.sampled_from(["a", "b", "", "-- x", "++ y", "@@ z", "\\ w", "c\r"]), max_size=9)


@given(LINES, LINES, st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_git_writes_is_understood(tmp_path_factory, old, new, old_end, new_end):
    folder = tmp_path_factory.mktemp("diff")
    texts = [
        "\n".join(side) + ("\n" if end else "") for side, end in ((old, old_end), (new, new_end))
    ]
    git(folder, "init", "--quiet")
    (folder / "f").write_bytes(texts[0].encode())
    git(folder, "add", "--all")
    (folder / "f").write_bytes(texts[1].encode())
    command = ["git", "diff", "--text", "--", "f"]
    shown = subprocess.run(command, cwd=folder, env=GIT_ENV, capture_output=True, check=True)
    if shown.stdout:
        (part,) = patch.parse(shown.stdout.decode())
        assert patch.apply(texts[0], part.hunks, "f") == texts[1]


@given(st.text(max_size=200))
@example("please change b to B")
def test_any_text_is_a_patch_or_an_error(text: str):
    said = ""
    try:
        said = repr(patch.parse(text))
    except ToolError as error:
        said = str(error)
    assert said
