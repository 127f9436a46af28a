"""The command starts quickly and answers what it cannot do with words."""

import subprocess
import sys

HEAVY = ("kubernetes", "kopf", "pydantic", "httpx", "aiohttp", "yaml", "nats", "agenttask_api")


def python(code: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "sys.argv = ['agenttask', '--help']\n"
        "from agenttask_cli.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted(sys.modules), file=sys.stderr)\n"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "run " in done.stdout
    loaded = [name for name in HEAVY if f"'{name}'" in done.stderr]
    assert "'typer'" in done.stderr
    assert loaded == []


def test_the_kubectl_plugin_calls_itself_so():
    code = (
        "import sys\n"
        "sys.argv = ['/usr/bin/kubectl-agenttask', '--help']\n"
        "from agenttask_cli.__main__ import main\nmain()\n"
    )
    assert python(code).stdout.startswith("Usage: kubectl agenttask ")


def test_a_missing_extra_is_named():
    code = (
        "import sys\n"
        "sys.modules['aiohttp'] = None\n"
        "sys.argv = ['agenttask', 'run', '-f', 'x.yaml']\n"
        "from agenttask_cli.__main__ import main\nmain()\n"
    )
    done = python(code)
    assert done.returncode == 1
    assert "pip install 'agenttask[cli,agent]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_cluster_its_commands_say_so():
    code = (
        "import os, sys\n"
        "os.environ.update(KUBECONFIG='/nonexistent/config', HOME='/nonexistent')\n"
        "sys.argv = ['agenttask', 'watch', 'x']\n"
        "from agenttask_cli.__main__ import main\nmain()\n"
    )
    done = python(code)
    assert done.returncode == 1
    assert "set KUBECONFIG or --context" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_input_ends_with_two():
    code = (
        "import sys\n"
        "sys.argv = ['agenttask', 'run', '-f', '/nonexistent.yaml']\n"
        "from agenttask_cli.__main__ import main\nmain()\n"
    )
    done = python(code)
    assert done.returncode == 2
    assert (
        done.stderr == "agenttask: /nonexistent.yaml: cannot be read: No such file or directory\n"
    )
