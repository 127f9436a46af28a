"""Hostile code inside the real pod looks for what it could use, and finds nothing."""

import ast
import base64
import hashlib
import json
from pathlib import Path

import yaml
from tests.e2e.tasks import Home, eventually, finished, pods, task
from tests.e2e.test_run import HELLO, PROBE, RANDOM_UID

from agenttask_testbed.commands import Kubectl

PIECE = 4000
"""An argument of a command has at most 4096 characters."""
SCRIPT = (Path(__file__).parent / "probes.py").read_text("utf-8")
RUNNER = (
    "import sys; s = ''.join(sys.argv[2:]); del sys.argv[2:]; exec(compile(s, 'probes', 'exec'))"
)


def probe_command(home: Home, name: str) -> dict[str, object]:
    """Return a command that runs the probes; it knows the secrets' hashes only."""
    data = home.get("secret", "git-credentials")["data"].values()
    values = [base64.b64decode(value).strip() for value in data]
    hashes = ",".join(hashlib.sha256(v).hexdigest() for v in values if len(v) > 8)
    pieces = [SCRIPT[i : i + PIECE] for i in range(0, len(SCRIPT), PIECE)]
    return {"name": name, "run": ["python3", "-c", RUNNER, hashes, *pieces], "timeoutSeconds": 60}


def count_probes() -> int:
    tree = ast.parse(SCRIPT)
    found = [
        n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "PROBES"
    ]
    value = found[0].value
    assert isinstance(value, ast.Dict)
    return len(value.keys)


def run_probes(home: Home, name: str) -> None:
    """Let setup run them in agent and verifier, and verify once more with a report."""
    setup = probe_command(home, "as-setup")
    home.apply(task(name, HELLO, setup=[setup], verify=[probe_command(home, "as-verify")]))
    state = finished(home, name)
    assert (state["phase"], state["reason"]) == ("Succeeded", "Completed"), state["message"]
    assert count_probes() >= 25
    assert state["artifacts"]["tests"] == {"passed": count_probes(), "failed": 0, "skipped": 0}


def test_probes_find_nothing_as_the_courier_s_uid(home: Home) -> None:
    run_probes(home, "probed")


def test_probes_find_nothing_as_any_uid(home: Home) -> None:
    home.kubectl.apply(*yaml.safe_load_all(RANDOM_UID.replace("NAMESPACE", home.namespace)))
    try:
        eventually(lambda: "1000650000" in home.run(*PROBE), 30, "the policy to be in force")
        run_probes(home, "probed-any")
        assert pods(home, "probed-any")[0]["spec"]["securityContext"]["runAsUser"] == 1000650000
    finally:
        home.kubectl(
            "delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", "random-uid"
        )


def test_probes_find_what_is_there(home: Home, testbed: Kubectl) -> None:
    """The control: a secret laid into the agent's own /tmp is found, in the agent."""
    value = home.get("secret", "git-credentials")["data"]["password"]
    plant = f"import base64; open('/tmp/git-x', 'wb').write(base64.b64decode('{value}'))"
    steps = [{"name": "plant", "run": ["python3", "-c", plant]}, probe_command(home, "look")]
    home.apply(task("planted", HELLO, setup=steps))
    state = finished(home, "planted")
    assert state["reason"] == "SetupFailed", json.dumps(state)
    assert "secrets in files" in state["message"]
    assert "courier's files" in state["message"]
