"""The command line. Each command imports its work when it is chosen, so help comes at once."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from agenttask_cli.errors import EX_BAD_INPUT, EX_FAILED, BadInput

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
    from agenttask_cli.run import Asked
    from agenttask_cli.show import run_and_show

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
    try:
        code = run_and_show(asked, json)
    except BadInput as error:
        code = _say(error, EX_BAD_INPUT)
    except OSError as error:
        code = _say(error, EX_FAILED)
    raise typer.Exit(code)


def _say(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"agenttask: {line}\n")
    return code
