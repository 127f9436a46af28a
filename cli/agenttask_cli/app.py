"""The command line. Each command imports its work when it is chosen, so help comes at once."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agenttask_cli.errors import EX_BAD_INPUT, EX_FAILED, EX_INTERRUPTED, BadInput, Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from agenttask_cli.cluster import Cluster

app = typer.Typer(
    name="agenttask",
    help="Run coding agents: on this machine, or as AgentTasks of a cluster.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root() -> None:
    """Run coding agents: on this machine, or as AgentTasks of a cluster."""


@app.command()
def run(
    file: Annotated[Path, typer.Option("-f", "--file", help="the AgentTask; - is stdin")],
    workspace: Annotated[
        Path | None,
        typer.Option(help="start from this checkout's HEAD; leave the branch there", metavar="DIR"),
    ] = None,
    model_url: Annotated[
        str, typer.Option(help="the model server [env: AGENTTASK_MODEL_URL, VLLM_URL]")
    ] = "",
    model_name: Annotated[str, typer.Option(help="the model, if the server has several")] = "",
    class_file: Annotated[
        Path | None, typer.Option("--class", help="an AgentClass to run under", metavar="FILE")
    ] = None,
    model_key_file: Annotated[
        Path | None,
        typer.Option(help="holds the model's key [or env: AGENTTASK_MODEL_API_KEY]"),
    ] = None,
    secrets: Annotated[
        Path | None, typer.Option(help="keys of connections, as DIR/db/NAME/url", metavar="DIR")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="where the result goes (default: agenttask-out/NAME)", metavar="DIR"),
    ] = None,
    push: Annotated[bool, typer.Option("--push", help="push the branch to spec.repo.url")] = False,
    json: Annotated[bool, typer.Option("--json", help="print the result document")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="leave the run's folder")] = False,
) -> None:
    """Run one task on this machine, without a cluster: same loop, tools, checks and result.

    Exit code: 0 Succeeded, 1 Failed, 2 bad input, 130 after Ctrl-C.
    """
    try:
        from agenttask_cli.run import Asked
        from agenttask_cli.show import run_and_show
    except ModuleNotFoundError as error:
        words = f"{error.name} is not installed: pip install 'agenttask[cli,agent]'"
        raise typer.Exit(_say(BadInput(words), EX_FAILED)) from error

    asked = Asked(
        file=file,
        workspace=workspace,
        model_url=model_url,
        model_name=model_name,
        class_file=class_file,
        key_file=model_key_file,
        secrets=secrets,
        output=output,
        push=push,
        keep=keep,
        environ=dict(os.environ),
    )
    _exit_with(lambda: run_and_show(asked, json), OSError)


Context = Annotated[str, typer.Option(help="the kubeconfig's context to use")]
NatsURL = Annotated[str, typer.Option(envvar="NATS_URL", help="where the operator publishes")]
NatsCreds = Annotated[str, typer.Option(envvar="NATS_CREDS", help="a creds file", metavar="FILE")]
NatsNkey = Annotated[
    str, typer.Option(envvar="NATS_NKEY", help="a file with an nkey seed", metavar="FILE")
]
NatsCA = Annotated[
    str, typer.Option(envvar="NATS_CA", help="the authority of NATS's certificate", metavar="FILE")
]
NatsCert = Annotated[
    str, typer.Option(envvar="NATS_CERT", help="your certificate for NATS", metavar="FILE")
]
NatsKey = Annotated[str, typer.Option(envvar="NATS_KEY", help="its key", metavar="FILE")]
NATS_HERE = "nats://127.0.0.1:4222"
ClusterID = Annotated[str, typer.Option(envvar="CLUSTER_ID", help="the operator's CLUSTER_ID")]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="the task's namespace")]
Name = Annotated[str, typer.Argument(help="the AgentTask")]


@app.command()
def submit(
    file: Annotated[Path, typer.Option("-f", "--file", help="the AgentTask; - is stdin")],
    wait: Annotated[bool, typer.Option("--wait", help="follow it to its end")] = False,
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Apply one task to the cluster (server-side), after checking it here."""
    from agenttask_cli import remote

    _on_cluster(lambda c: remote.submit(c, file, namespace, wait), namespace, context)


@app.command()
def watch(name: Name, namespace: Namespace = "", context: Context = "") -> None:
    """Print every change of a task's state until it has ended; 0 = Succeeded."""
    from agenttask_cli import remote

    _on_cluster(lambda c: remote.follow(c, name), namespace, context)


@app.command()
def logs(
    name: Name,
    container: Annotated[
        str, typer.Option("-c", "--container", help="agent, courier, verifier or clone")
    ] = "agent",
    follow: Annotated[bool, typer.Option("--follow", help="go on until it ends")] = False,
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Print the log of a task's newest pod."""
    from agenttask_cli import remote

    _on_cluster(lambda c: remote.logs(c, name, container, follow), namespace, context)


@app.command()
def report(name: Name, namespace: Namespace = "", context: Context = "") -> None:
    """Print a task's whole story."""
    from agenttask_cli import remote

    _on_cluster(lambda c: remote.report(c, name), namespace, context)


@app.command()
def diff(name: Name, namespace: Namespace = "", context: Context = "") -> None:
    """Print the change that a task has pushed, fetched with your own git."""
    from agenttask_cli import remote

    _on_cluster(lambda c: remote.diff(c, name, os.environ), namespace, context)


@app.command()
def cancel(name: Name, namespace: Namespace = "", context: Context = "") -> None:
    """Cancel a task; what it has is kept."""
    from agenttask_cli import remote

    _on_cluster(lambda c: remote.cancel(c, name), namespace, context)


@app.command()
def replay(
    name: Name,
    namespace: Namespace = "",
    context: Context = "",
    nats_url: NatsURL = NATS_HERE,
    nats_creds: NatsCreds = "",
    nats_nkey: NatsNkey = "",
    nats_ca: NatsCA = "",
    nats_cert: NatsCert = "",
    nats_key: NatsKey = "",
    cluster_id: ClusterID = "default",
) -> None:
    """Send a finished task's result and events to NATS again, under the same ids."""
    from agenttask_api.natslogin import NatsLogin
    from agenttask_cli.natsbus import Access
    from agenttask_cli.replay import replay as again

    login = NatsLogin(creds=nats_creds, nkey=nats_nkey, ca=nats_ca, cert=nats_cert, key=nats_key)
    access = Access(nats_url, login)
    _on_cluster(lambda c: again(c, name, access, cluster_id), namespace, context)


@app.command()
def doctor(context: Context = "") -> None:
    """Say whether the cluster has all that a task needs; 1 = something is missing."""
    from agenttask_cli import remote

    _on_cluster(remote.doctor, "", context)


context_app = typer.Typer(help="What finished tasks left for later ones.", no_args_is_help=True)
app.add_typer(context_app, name="context")


@context_app.callback()
def _context() -> None:
    """What finished tasks left for later ones."""


@context_app.command("get")
def context_get(
    name: Name,
    namespace: Namespace = "",
    context: Context = "",
    nats_url: NatsURL = NATS_HERE,
    nats_creds: NatsCreds = "",
    nats_nkey: NatsNkey = "",
    nats_ca: NatsCA = "",
    nats_cert: NatsCert = "",
    nats_key: NatsKey = "",
    cluster_id: ClusterID = "default",
    json: Annotated[bool, typer.Option("--json", help="print the record as JSON")] = False,
) -> None:
    """Print the record of a task's last finished run, also of a deleted task."""
    from agenttask_api.natslogin import NatsLogin
    from agenttask_cli import context as records
    from agenttask_cli.natsbus import Access

    login = NatsLogin(creds=nats_creds, nkey=nats_nkey, ca=nats_ca, cert=nats_cert, key=nats_key)
    access = Access(nats_url, login)
    _exit_with(
        lambda: records.get(access, cluster_id, namespace or _usual_namespace(context), name, json)
    )


def _usual_namespace(context: str) -> str:
    """Return the kubeconfig's namespace; whoever has none names it."""
    from agenttask_cli.cluster import Cluster, ClusterError, Where

    try:
        return Cluster(Where(context)).namespace
    except ClusterError as error:
        raise typer.Exit(
            _say(BadInput(f"{error}; or name the namespace: -n"), EX_BAD_INPUT)
        ) from error


def _on_cluster(work: "Callable[[Cluster], int]", namespace: str, context: str) -> None:
    """Run a command against the cluster and exit with its code."""
    from agenttask_cli.cluster import Cluster, ClusterError, Where

    _exit_with(lambda: work(Cluster(Where(context, namespace))), ClusterError)


def _exit_with(work: "Callable[[], int]", *more: type[Exception]) -> None:
    """Do a command's work and exit with its code; Failed, and `more`, are told and end with 1."""
    told: tuple[type[Exception], ...] = (Failed, *more)
    try:
        code = work()
    except BadInput as error:
        code = _say(error, EX_BAD_INPUT)
    except told as error:
        code = _say(error, EX_FAILED)
    except KeyboardInterrupt:
        code = EX_INTERRUPTED
    raise typer.Exit(code)


def _say(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"agenttask: {line}\n")
    return code
