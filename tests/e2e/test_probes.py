"""Hostile code inside the real pod looks for what it could use, and finds nothing."""

import ast
import base64
import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.tasks import Home, agent_class, eventually, finished, pods, task
from tests.e2e.test_run import HELLO, PROBE, RANDOM_UID

from agenttask_testbed import services
from agenttask_testbed.commands import ROOT, Kubectl
from agenttask_testbed.demo import WHERE

PIECE = 4000
"""An argument of a command has at most 4096 characters."""
SCRIPT = (Path(__file__).parent / "probes.py").read_text("utf-8")
RUNNER = (
    "import sys; s = ''.join(sys.argv[3:]); del sys.argv[3:]; exec(compile(s, 'probes', 'exec'))"
)


@dataclass(frozen=True)
class Guarded:
    """A class whose model and NATS demand what only the courier has."""

    name: str
    where: str
    key: str
    password: str

    @property
    def addresses(self) -> tuple[str, str, str]:
        git = f"https://git.{WHERE}.svc/git/hello.git"
        return git, f"http://model.{self.where}.svc:8000", f"nats://nats.{self.where}.svc:4222"

    def grant(self, home: Home) -> None:
        """Put into the namespace what the class names."""
        account = {"username": "courier", "password": self.password}
        home.apply(
            services.secret("model-key", {"key": self.key}), services.secret("nats", account)
        )


@pytest.fixture(scope="module")
def guarded(testbed: Kubectl) -> Iterator[Guarded]:
    made = Guarded("guarded", "e2e-guarded", secrets.token_urlsafe(24), secrets.token_urlsafe(24))
    where = made.where
    testbed.apply(services.namespace(where))
    services.deploy_model(testbed, where, [ROOT / "examples/rehearsals/hello-world.yaml"])
    services.deploy_nats(testbed, where)
    testbed("-n", where, "set", "env", "deploy/model", f"VLLM_API_KEY={made.key}")
    account = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": word}
               for word in ("--user", "courier", "--pass", made.password)]  # fmt: skip
    testbed("-n", where, "patch", "deploy/nats", "--type=json", "-p", json.dumps(account))
    _, model, nats = made.addresses
    testbed.apply(agent_class(
        made.name,
        testbed.get("agentclass", "default"),
        model={
            "endpoint": model,
            "name": "rehearsal",
            "apiKeySecretRef": {"name": "model-key", "key": "key"},
        },
        nats={"url": nats, "credsSecretRef": {"name": "nats"}},
    ))  # fmt: skip
    services.wait_for(testbed, where, "model", "nats")
    yield made
    testbed("delete", "agentclass", made.name)
    testbed("delete", "namespace", where, "--wait=false")


def probe_command(home: Home, guarded: Guarded, name: str) -> dict[str, object]:
    """Return a command that runs the probes; it knows the secrets' hashes only."""
    data = home.get("secret", "git-credentials")["data"]
    password = base64.b64decode(data["password"]).decode().strip()
    values = (password, guarded.key, guarded.password)
    hashes = ",".join(hashlib.sha256(value.encode()).hexdigest() for value in values)
    pieces = [SCRIPT[i : i + PIECE] for i in range(0, len(SCRIPT), PIECE)]
    given = [hashes, base64.b64encode(" ".join(guarded.addresses).encode()).decode()]
    return {"name": name, "run": ["python3", "-c", RUNNER, *given, *pieces], "timeoutSeconds": 120}


def count_probes() -> int:
    tree = ast.parse(SCRIPT)
    found = [
        n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "PROBES"
    ]
    value = found[0].value
    assert isinstance(value, ast.Dict)
    return len(value.keys)


def run_probes(home: Home, guarded: Guarded, name: str) -> None:
    """Let setup run them in agent and verifier, and verify once more with a report."""
    guarded.grant(home)
    spec: dict[str, Any] = {
        "className": guarded.name,
        "setup": [probe_command(home, guarded, "as-setup")],
        "verify": [probe_command(home, guarded, "as-verify")],
    }
    home.apply(task(name, HELLO, **spec))
    state = finished(home, name, 180)
    assert (state["phase"], state["reason"]) == ("Succeeded", "Completed"), state["message"]
    assert count_probes() >= 25
    assert state["artifacts"]["tests"] == {"passed": count_probes(), "failed": 0, "skipped": 0}


def test_probes_find_nothing_as_the_courier_s_uid(home: Home, guarded: Guarded) -> None:
    run_probes(home, guarded, "probed")


def test_probes_find_nothing_as_any_uid(home: Home, guarded: Guarded) -> None:
    home.kubectl.apply(*yaml.safe_load_all(RANDOM_UID.replace("NAMESPACE", home.namespace)))
    try:
        eventually(lambda: "1000650000" in home.run(*PROBE), 30, "the policy to be in force")
        run_probes(home, guarded, "probed-any")
        assert pods(home, "probed-any")[0]["spec"]["securityContext"]["runAsUser"] == 1000650000
    finally:
        home.kubectl(
            "delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", "random-uid"
        )


def test_probes_find_what_is_there(home: Home, guarded: Guarded) -> None:
    """The control: a secret laid into the agent's own /tmp is found, in the agent."""
    value = home.get("secret", "git-credentials")["data"]["password"]
    plant = f"import base64; open('/tmp/git-x', 'wb').write(base64.b64decode('{value}'))"
    steps = [
        {"name": "plant", "run": ["python3", "-c", plant]},
        probe_command(home, guarded, "look"),
    ]
    home.apply(task("planted", HELLO, setup=steps))
    state = finished(home, "planted")
    assert state["reason"] == "SetupFailed", json.dumps(state)
    assert "secrets in files" in state["message"]
    assert "courier's files" in state["message"]


def test_a_class_says_that_its_model_demands_a_key(testbed: Kubectl, guarded: Guarded) -> None:
    def required(name: str) -> str:
        found = testbed.get("agentclass", name).get("status", {}).get("conditions", [])
        return next((c["status"] for c in found if c["type"] == "ModelKeyRequired"), "")

    eventually(lambda: required(guarded.name) == "True", 60, "the key to be found required")
    eventually(lambda: required("default") == "False", 60, "no key to be found required")
