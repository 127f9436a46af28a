"""The commands: `run` in the pod, `call` and `tools` for people, `rehearse` as a model.

Imports what a command needs when it is chosen, so that `run` starts quickly.
"""

import argparse
import functools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agenttask_agent.paths import Paths


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    command = {
        "run": _run,
        "call": _call,
        "tools": _tools,
        "audit": _audit,
        "rehearse": _rehearse,
    }
    return command[arguments.command](arguments)


def _run(arguments: argparse.Namespace) -> int:
    from agenttask_agent.signals import raise_on_termination

    raise_on_termination()
    from agenttask_agent.models.retry import Retry
    from agenttask_agent.run import Patience, run_agent

    paths = Paths(arguments.task, arguments.door, arguments.repo, arguments.home, arguments.tmp)
    paths = replace(paths, probe_cache=arguments.probe_cache)
    retry = Retry(tries=arguments.model_tries, base=arguments.model_pause)
    return run_agent(paths, Patience(arguments.door_seconds, retry))


def _call(arguments: argparse.Namespace) -> int:
    from agenttask_agent.command import call

    result = call(
        arguments.workspace,
        arguments.operation,
        arguments.params,
        role=arguments.role,
        allow=tuple(arguments.allow or ("*",)),
        read_only=arguments.read_only,
        remotes=tuple(arguments.remote or ()),
    )
    _print(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    return 0 if result.ok else 1


def _tools(arguments: argparse.Namespace) -> int:
    from agenttask_agent.tools.document import as_json, as_markdown
    from agenttask_agent.tools.policy import policy_of

    allow = tuple(arguments.allow or ("*",))
    policy = policy_of(arguments.role, allow, arguments.read_only)
    _print((as_json if arguments.json else as_markdown)(policy))
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    from agenttask_agent.auditlog import Query, newest_first, problem_of

    try:
        if arguments.action == "verify":
            problem = problem_of(arguments.file)
            _print(problem or "the chain is whole")
            return 1 if problem else 0
        success = None if arguments.success is None else arguments.success == "true"
        query = Query(arguments.tool, arguments.operation, success, arguments.limit)
        for line in newest_first(arguments.file, query):
            _print(line)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"agenttask-agent: {error}\n")
        return 1
    return 0


def _rehearse(arguments: argparse.Namespace) -> int:
    from agenttask_agent.rehearsal.script import BadScript, load_script
    from agenttask_agent.rehearsal.server import make_app, serve

    try:
        scripts = [load_script(path) for path in arguments.scripts]
    except BadScript as error:
        sys.stderr.write(f"agenttask-agent: {error}\n")
        return 2
    told = functools.partial(print, flush=True) if arguments.print_requests else None
    app = make_app(scripts, os.environ.get("VLLM_API_KEY", ""), told)
    serve(app, arguments.host, arguments.port)
    return 0


def _role(text: str) -> str:
    from agenttask_api.spec import Role

    try:
        return Role(text.upper()).value
    except ValueError:
        known = ", ".join(Role)
        raise argparse.ArgumentTypeError(f"no role is called {text!r}; there are {known}") from None


def _json_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"this is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('a JSON object is wanted, like {"path": "README.md"}')
    return value


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return path


def _print(text: str) -> None:
    sys.stdout.write(text.rstrip("\n") + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agenttask-agent", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="work on the pod's task"))
    _add_call(commands.add_parser("call", help="execute one operation in a workspace"))
    _add_tools(commands.add_parser("tools", help="list the operations"))
    _add_rehearse(commands.add_parser("rehearse", help="serve scripted replies as a model"))
    _add_audit(commands.add_parser("audit", help="check or search an audit file"))
    return parser


def _add_audit(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)
    verify = actions.add_parser("verify", help="check the chain of hashes")
    query = actions.add_parser("query", help="print entries, the newest first")
    for action in (verify, query):
        action.add_argument("file", type=Path)
    query.add_argument("--tool")
    query.add_argument("--operation")
    query.add_argument("--success", choices=("true", "false"))
    query.add_argument("--limit", type=int, default=100)


def _add_run(parser: argparse.ArgumentParser) -> None:
    defaults = Paths()
    parser.add_argument("--task", type=Path, default=defaults.task_file)
    parser.add_argument("--door", type=Path, default=defaults.door_socket)
    parser.add_argument("--repo", type=Path, default=defaults.repo)
    parser.add_argument("--home", type=Path, default=defaults.home)
    parser.add_argument("--tmp", type=Path, default=defaults.tmp)
    parser.add_argument("--probe-cache", type=Path)
    parser.add_argument("--door-seconds", type=float, default=60.0)
    parser.add_argument("--model-tries", type=int, default=6)
    parser.add_argument("--model-pause", type=float, default=1.0, help="seconds, doubling")


def _add_policy(parser: argparse.ArgumentParser, role: str | None) -> None:
    parser.add_argument(
        "--role", type=_role, default=role, help="DEV, QA, ARCHITECT, DEVOPS, DATA, PO"
    )
    parser.add_argument("--read-only", action="store_true", help="only what changes nothing")
    parser.add_argument("--allow", action="append", metavar="PATTERN", help="like files.*")


def _add_call(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("operation", help="like files.read_file")
    parser.add_argument(
        "--workspace", type=_folder, required=True, metavar="DIR", help="the repository's folder"
    )
    parser.add_argument(
        "--params", type=_json_object, default="{}", metavar="JSON", help="its arguments"
    )
    parser.add_argument(
        "--remote", action="append", metavar="URL", help="a remote that git may reach"
    )
    _add_policy(parser, "DEV")


def _add_tools(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as the model gets them")
    form.add_argument("--markdown", action="store_true", help="as docs/tools.md (default)")
    _add_policy(parser, None)


def _add_rehearse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scripts", nargs="+", type=Path, metavar="SCRIPT.yaml")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 = any free one")
    parser.add_argument(
        "--print-requests", action="store_true", help="a line for each, as it comes"
    )


if __name__ == "__main__":
    sys.exit(main())
