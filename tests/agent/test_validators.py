"""Values that models write: odd but valid ones pass, hostile ones do not."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_agent.tools import validators
from agenttask_agent.tools.refusal import ToolError

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "words",
    [["ls"], ["sh", "-c", "a; b | c && d `e` $(f) > g"], ["a", ""], ["x", "-rf", "--", "\n"],
     ["./run me"], ["\u4e2d"], ["x"] * 64],
)  # fmt: skip
def test_command_args_are_words_and_no_shell(words):
    assert validators.command_args(words) == tuple(words)


@pytest.mark.parametrize(
    "words",
    [[], [""], ["-x"], ["--privileged", "image"], ["a", "b\0c"], ["a", "\ud800"], ["x"] * 65,
     ["a", "b" * 4097]],
)  # fmt: skip
def test_command_args_refuse_options_in_place_of_a_program(words):
    with pytest.raises(ToolError):
        validators.command_args(words)


@pytest.mark.parametrize(
    "variables",
    [{}, {"A": ""}, {"_x1": "a=b c\n"}, {"PATH": "/bin:/usr/bin"}, {"ENV": "test"},
     {"PYTHONPATH": "."}, {"LDAP_HOST": "x"}, {"A" * 128: "\u4e2d"}],
)  # fmt: skip
def test_env_vars_take_ordinary_ones(variables):
    assert validators.env_vars(variables) == variables


@pytest.mark.parametrize(
    "variables",
    [
        {"": "x"},
        {"1A": "x"},
        {"A=B": "x"},
        {"A B": "x"},
        {"A-B": "x"},
        {"A\n": "x"},
        {"\u00c4": "x"},
        {"A": "x\0y"},
        {"A": "x" * 4097},
        {"LD_PRELOAD": "x.so"},
        {"LD_LIBRARY_PATH": "/tmp"},
        {"LD_AUDIT": "x"},
        {"DYLD_INSERT_LIBRARIES": "x"},
        {"BASH_ENV": "x"},
        {"PATH": "/bin:.."},
        {"PATH": "/bin:/a/../b"},
        {"PATH": "/bin:"},
        {"PATH": "bin"},
        {f"A{i}": "" for i in range(65)},
    ],
)
def test_env_vars_refuse_names_and_loaders(variables):
    with pytest.raises(ToolError):
        validators.env_vars(variables)


@pytest.mark.parametrize(
    ("value", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.12-slim", "docker.io/library/python:3.12-slim"),
        ("team/app", "docker.io/team/app:latest"),
        ("ghcr.io/a/b/c.d:v1", "ghcr.io/a/b/c.d:v1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("registry.example:8443/a__b/c--d", "registry.example:8443/a__b/c--d:latest"),
        (f"app@{DIGEST}", f"docker.io/library/app@{DIGEST}"),
        (f"r.example/app:1@{DIGEST}", f"r.example/app@{DIGEST}"),
        ("10.0.0.1:5000/x", "10.0.0.1:5000/x:latest"),
        ("a.b/c", "a.b/c:latest"),
    ],
)
def test_image_takes_what_the_grammar_takes(value, full):
    assert validators.image(value).full == full


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-x",
        "--privileged",
        "-v=/:/host",
        "App",
        "a b",
        "a:",
        "a@",
        "a@sha256:123",
        f"a@{DIGEST}0",
        "a//b",
        "a/",
        "/a",
        "a:b:c/d",
        "../a",
        "a..b",
        "docker://a",
        "docker-archive:a",
        "docker-archive:/etc/x.tar",
        "oci:a",
        "dir:/etc",
        "containers-storage:a",
        "a\n",
        "a\0",
        "$(id)",
        "a;b",
        "\u00e4",
        "UPPER.example/a",
        "a:" + "t" * 129,
        "a" * 513,
    ],
)
def test_image_refuses_options_and_transports(value):
    with pytest.raises(ToolError):
        validators.image(value)


@pytest.mark.parametrize(
    ("output", "plain"),
    [
        (b"a\r\nb", "a\nb"),
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"10%\r100%\n", "100%\n"),
        ("<|im_start|>", "\u2039|im_start|>"),
        (b"\xff\0", "\ufffd\\x00"),
        ("\u202etxt", "\\u202etxt"),
    ],
)
def test_log_output_hides_nothing(output, plain):
    assert validators.log_output(output) == plain


def test_log_output_is_bounded():
    shown = validators.log_output("a" * 50_000)
    assert len(shown) < 10_100
    assert "characters left out" in shown


@given(st.text(max_size=60))
def test_no_text_makes_a_validator_raise_anything_else(text):
    checks = (
        validators.path,
        validators.url,
        validators.host,
        validators.git_url,
        validators.image,
        lambda t: validators.url(f"http://{t}"),
        lambda t: validators.command_args([t]),
        lambda t: validators.env_vars({t: t}),
        validators.log_output,
    )
    for check in checks:
        with contextlib.suppress(ToolError):
            check(text)
