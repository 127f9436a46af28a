"""Dockerfiles that ask for more than a build has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agenttask_agent.tools import docker_file
from agenttask_agent.tools.docker_policy import DockerSettings
from agenttask_agent.tools.refusal import Denied, ToolError

SETTINGS = DockerSettings("1-abcdef01", images=("docker.io/library/*", "r.example/base"))


def check(text: str, *, network: bool = False) -> None:
    docker_file.check(text, network=network, base=SETTINGS.base_image)


@pytest.mark.parametrize(
    "text",
    [
        "FROM scratch\nCOPY a /b\n",
        "FROM docker.io/library/python:3.12-slim\nRUN pip install .\n",
        "from docker.io/library/python as build\nfrom build\ncopy --from=build /a /a\n",
        "FROM --platform=linux/amd64 r.example/base:1 AS x\nCOPY --from=0 --chown=1:1 a b\n",
        "# syntax=docker/dockerfile:1.7\nFROM scratch\n",
        "# a comment\n# key = value\nARG V=1\nFROM scratch\nENV A=$V\nADD a.tar.gz /\n",
        "FROM scratch\nRUN a && \\\n    # why\n    b --mount=x --network=host \\\n\n  c\n",
        "\ufeffFROM scratch\r\nRUN a\r\n",
        'FROM scratch\nHEALTHCHECK --interval=1s CMD ["x"]\nCMD ["sh", "-c", "$A http://x"]\n',
        "FROM scratch\nRUN curl https://example.com\n",
        "",
    ],
)
def test_ordinary_files_pass(text):
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        "FROM other.example/x\n",
        "FROM localhost/private\n",
        "ARG B\nFROM $B\n",
        "FROM ${B:-x}\n",
        "FROM oci-archive:x.tar\n",
        "FROM docker-archive:/etc/x.tar\n",
        "FROM dir:/etc\n",
        "FROM --platform=x --foo=y scratch\n",
        "FROM\n",
        "FROM scratch\nCOPY --from=evil.example/x /a /a\n",
        "FROM scratch\nCOPY --from=$X /a /a\n",
        "FROM scratch\nRUN --network=host id\n",
        "FROM scratch\nrun   --mount=type=bind,source=/,target=/x id\n",
        "FROM scratch\nRUN --security=insecure id\n",
        "FROM scratch\nRUN \\\n  --network=host id\n",
        "FROM scratch\nRUN \\\n# c\n\n  --network=host id\n",
        "FROM scratch\nONBUILD RUN --network=host id\n",
        "FROM scratch\nONBUILD ONBUILD ADD http://x /a\n",
        "FROM scratch\nADD http://169.254.169.254/latest /a\n",
        'FROM scratch\nADD ["https://x", "/a"]\n',
        "FROM scratch\nadd \\\n http://x \\\n /a\n",
        "FROM scratch\nARG U\nADD $U /a\n",
        "FROM scratch\nADD git@x:y /a\n",
        "FROM scratch\nADD github.com/a/b.git /a\n",
        "FROM scratch\nADD --keep-git-dir=true a /a\n",
        "FROM scratch\nADD HTTP://x /a\n",
        "# escape=`\nFROM scratch\nRUN x `\nADD http://x /a\n",
        "# foo=bar\n# escape=`\nFROM scratch\n",
        "#syntax=evil.example/frontend\nFROM scratch\n",
        "# syntax=docker/dockerfile:labs\nFROM scratch\n",
        "FROM scratch\nRUN x \\\\\nADD http://x /a\n",
        "FROM scratch\nRUN x \\\n  # not a comment for some \\\nADD http://x /a\n",
        "FROM scratch\nRUN x \\\n# comment\nADD http://x /a\n",
        "FROM scratch\nRUN <<EOF\nid\nEOF\n",
        "FROM scratch\nRUN a \\\\\nb\n",
        "FROM scratch\nCOPY <<EOF /x\nADD http://x /a\nEOF\n",
        "FROM scratch\rADD http://x /a\r",
        "FROM scratch\n" + "RUN a\n" * 2001,
        "FROM scratch\nRUN " + "a" * 300_000,
    ],
)
def test_what_leaves_the_walls_is_refused(text):
    with pytest.raises(ToolError):
        check(text)


def test_a_build_with_a_network_may_add_what_it_could_fetch_anyway():
    check("FROM scratch\nADD https://example.com/a /a\n", network=True)
    with pytest.raises(Denied):
        check("FROM scratch\nRUN --network=host id\n", network=True)


@given(st.text(alphabet="FROM ADDscratch\\\n#`$=<-/:.httpx\r\t ", max_size=200))
def test_no_text_raises_anything_else(text):
    try:
        check(text)
    except ToolError:
        return
    assert "add http://" not in " ".join(text.lower().split("\n")[-1:]).lstrip()[:11]
