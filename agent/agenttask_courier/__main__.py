"""`agenttask-courier`: clone, verifier, serve, drain, schema. Each imports only what it needs."""

import argparse
import os
import sys
import time
from pathlib import Path

from agenttask_courier.places import Places


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    options = _parser().parse_args(arguments)
    os.umask(0o002)  # Containers share volumes through gid 0, whatever their uids are.
    places = Places.below(options.root) if options.root else Places()
    commands = {
        "clone": _clone,
        "verifier": _verifier,
        "serve": _serve,
        "drain": _drain,
        "schema": _schema,
    }
    return commands[options.command](places)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agenttask-courier", description=__doc__)
    parser.add_argument("--root", type=Path, help="use the pod's folders below this one")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("clone", help="clone the repository and lay out the workspace")
    commands.add_parser("verifier", help="run setup and verify commands when asked")
    commands.add_parser("serve", help="answer the agent, judge its work, push and publish")
    commands.add_parser("drain", help="tell a running serve that the pod is ending")
    commands.add_parser("schema", help="print the door's OpenAPI schema")
    return parser


def _clone(places: Places) -> int:
    from agenttask_courier.clone import run_clone
    from agenttask_courier.clonespan import tell_clone
    from agenttask_courier.tracing import Times

    began = time.time_ns()
    code = run_clone(places)
    tell_clone(os.environ, places, Times(began, time.time_ns()), code)
    return code


def _verifier(places: Places) -> int:
    from agenttask_courier.verifier import serve_verifier

    return serve_verifier(places)


def _serve(places: Places) -> int:
    from agenttask_courier.journal import log
    from agenttask_courier.serve import run_serve
    from agenttask_courier.settings import BadSettings

    try:
        return run_serve(places, os.environ)
    except BadSettings as error:
        log("settings.bad", message=str(error))
        return 1


def _drain(places: Places) -> int:
    from agenttask_courier.drain import drain

    return drain(places)


def _schema(_places: Places) -> int:
    import json

    from agenttask_courier.doorroutes import openapi

    sys.stdout.write(json.dumps(openapi(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
