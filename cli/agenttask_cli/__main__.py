"""The program's entry: the version check aside, everything is imported when it is needed."""

import sys


def main() -> None:
    """Run the command line; exits with its code."""
    from agenttask_cli.app import app

    app(prog_name="kubectl agenttask" if "kubectl-" in sys.argv[0] else "agenttask")


if __name__ == "__main__":
    main()
