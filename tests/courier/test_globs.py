"""Path patterns, by table and against a plain reading of the same rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_courier.globs import covers


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("tests/**", "tests/a.py", True),
        ("tests/**", "tests/a/b.py", True),
        ("tests/**", "tests", False),
        ("tests/**", "src/tests/a.py", False),
        ("**/test_*.py", "test_a.py", True),
        ("**/test_*.py", "a/b/test_a.py", True),
        ("**/test_*.py", "a/test_b/c.py", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("a/**/z", "a/b/c/y", False),
        ("*.md", "README.md", True),
        ("*.md", "docs/README.md", False),
        ("docs", "docs/a/b", True),
        ("docs/", "docs/a", True),
        ("docs", "docs2/a", False),
        ("/.gitlab-ci.yml", ".gitlab-ci.yml", True),
        ("a?c", "abc", True),
        ("a[bc]", "ab", True),
        ("a[!bc]", "ab", False),
        ("**", "anything/at/all", True),
        ("Tests/**", "tests/a", False),
    ],
)
def test_pattern_covers_path(pattern: str, path: str, expected: bool):
    assert covers(pattern, path) is expected


_PART = st.sampled_from(["a", "b", "ab", "*", "a*", "?"])
_PATTERN = st.lists(st.one_of(_PART, st.just("**")), min_size=1, max_size=5).map("/".join)
_PATH = st.lists(st.sampled_from(["a", "b", "ab", "abc"]), min_size=1, max_size=5).map("/".join)


@given(_PATTERN, _PATH)
def test_matching_equals_a_plain_regular_expression(pattern: str, path: str):
    assert covers(pattern, path) is bool(re.fullmatch(_as_regex(pattern), path))


def test_many_stars_are_not_slow():
    assert not covers("**/a*a*a*a*a*a*b/" * 20 + "z", "/".join(["a" * 60] * 60))


def _as_regex(pattern: str) -> str:
    parts = pattern.split("/")
    regex = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            regex += ".+" if last else "(?:[^/]+/)*"
        else:
            regex += part.replace("*", "[^/]*").replace("?", "[^/]") + ("" if last else "/")
    return regex if parts[-1] == "**" else regex + "(?:/.*)?"
