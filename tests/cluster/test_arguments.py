import pytest

from agenttask_cluster.arguments import parse, parse_duration
from agenttask_cluster.errors import ClusterError

VERBOSE = {"verbosity": "1"}
ALL = {"all": "true"}


@pytest.mark.parametrize(
    ("line", "command", "words", "flags"),
    [
        pytest.param("get clusters", ("get", "clusters"), (), {}, id="no flags"),
        pytest.param(
            "create cluster --name=x --kubeconfig=k",
            ("create", "cluster"),
            (),
            {"name": "x", "kubeconfig": "k"},
            id="pytest-kind creates",
        ),
        pytest.param(
            "create cluster --name=x --kubeconfig=k --config f",
            ("create", "cluster"),
            (),
            {"name": "x", "kubeconfig": "k", "config": "f"},
            id="pytest-kind creates with a config",
        ),
        pytest.param(
            "load docker-image --name x image:1",
            ("load", "docker-image"),
            ("image:1",),
            {"name": "x"},
            id="pytest-kind loads",
        ),
        pytest.param(
            "delete cluster --name=x --kubeconfig=k",
            ("delete", "cluster"),
            (),
            {"name": "x", "kubeconfig": "k"},
            id="pytest-kind deletes",
        ),
        pytest.param(
            "load docker-image a:1 b:1 --name x",
            ("load", "docker-image"),
            ("a:1", "b:1"),
            {"name": "x"},
            id="flags after words",
        ),
        pytest.param(
            "--name x get kubeconfig", ("get", "kubeconfig"), (), {"name": "x"}, id="flags first"
        ),
        pytest.param("get clusters -q", ("get", "clusters"), (), {"quiet": "true"}, id="short"),
        pytest.param("-v 1 get clusters", ("get", "clusters"), (), VERBOSE, id="value"),
        pytest.param("-v1 get clusters", ("get", "clusters"), (), VERBOSE, id="joined"),
        pytest.param(
            "create cluster -n x --retain",
            ("create", "cluster"),
            (),
            {"name": "x", "retain": "true"},
            id="short name",
        ),
        pytest.param("delete clusters --all", ("delete", "clusters"), (), ALL, id="all"),
        pytest.param("binary kubectl", ("binary",), ("kubectl",), {}, id="one word"),
        pytest.param("binary", ("binary",), (), {}, id="no word"),
    ],
)
def test_line_is_read_as_kind_reads_it(line, command, words, flags):
    given = parse(line.split())
    assert (given.command, given.words, given.flags) == (command, words, flags)


@pytest.mark.parametrize("line", ["", "--help", "create cluster --help", "get -h"])
def test_help_is_given_when_asked(line):
    assert parse(line.split()).command == ("help",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("frob", 'unknown command "frob" for "kind"', id="command"),
        pytest.param("get frob", 'unknown command "frob" for "kind get"', id="subcommand"),
        pytest.param("get", "Subcommand is required: get clusters", id="no subcommand"),
        pytest.param("create cluster --frob", "unknown flag: --frob", id="flag"),
        pytest.param("get clusters --name x", "unknown flag: --name", id="flag of another command"),
        pytest.param("create cluster --name", "flag needs an argument: --name", id="no value"),
        pytest.param("get clusters -x", "unknown shorthand flag: 'x' in -x", id="short flag"),
    ],
)
def test_mistake_is_named_as_kind_names_it(line, message):
    with pytest.raises(ClusterError) as caught:
        parse(line.split())
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("90s", 90), ("1m30s", 90), ("500ms", 0.5), ("0", 0), ("0s", 0)],
)
def test_duration_is_read_as_go_reads_it(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["5", "m", "", "5x", "5 m"])
def test_duration_is_refused_when_go_would_refuse_it(text):
    with pytest.raises(ClusterError, match="invalid duration"):
        parse_duration(text)
