"""Words for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.digest import Digest
from agenttask_api.reasons import Reason
from agenttask_api.status import MAX_MESSAGE_CHARACTERS
from agenttask_operator.words import clean, hinted, spell_duration, told_success


def digest(**facts):
    return Digest(run_key="1-abc", reason=Reason.COMPLETED, final=True, **facts)


@given(st.text(), st.sampled_from(Reason))
def test_message_is_short_clean_and_ends_with_its_hint(text, reason):
    words = hinted(text, reason, rerun=True)
    assert len(words) <= MAX_MESSAGE_CHARACTERS
    assert words.endswith("to run again change spec.runID")
    assert words.isprintable() or " " in words


def test_control_characters_go():
    assert clean("a\x1b[31m\nb\u202e c") == "a [31m b c"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (5.9, "5s"), (60, "1m"), (83, "1m23s"), (3600, "1h")]
)
def test_duration(seconds, text):
    assert spell_duration(seconds) == text


@pytest.mark.parametrize(
    ("digest", "words"),
    [
        pytest.param(None, "nothing had to be changed", id="no digest"),
        pytest.param(digest(), "nothing had to be changed", id="no commit"),
        pytest.param(
            digest(commit="c", files=1, insertions=5, tests=(4, 0, 0), branch="b"),
            "1 file changed (+5 -0), 4 tests passed, pushed to b",
            id="verified and pushed",
        ),
        pytest.param(digest(commit="c", files=2), "2 files changed (+0 -0)", id="kept here"),
    ],
)
def test_success_is_told_from_measured_facts(digest, words):
    assert told_success(digest) == words
