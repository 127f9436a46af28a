"""The reference task with a real small coder, on this machine and in the pod."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from tests.e2e.tasks import PYTEST, Home, agent_class, finished, result_of, task, until
from tests.vllm.conftest import Served
from tests.vllm.forward import forwarded
from tests.vllm.local import PROMPT, run_here, says_hello

from agenttask_testbed.commands import Kubectl
from agenttask_testbed.demo import NATS_URL, WHERE

HONEST = {"ModelMisunderstood", "LoopDetected", "IterationLimit", "NoChange", "BudgetExceeded",
    "VerificationFailed", "ContextExhausted", "DeadlineExceeded"}  # fmt: skip
"""How a run may end whose model cannot do the work."""
SECONDS = 600.0


@pytest.mark.timeout(1800)
def test_the_coder_does_the_reference_task_here(coder: Served, tmp_path: Path) -> None:
    ran = run_here(coder, tmp_path, "Auto")
    assert ran.code == 0, ran.result["message"]
    change = ran.result["artifacts"]["change"]
    assert change["files_changed"] == ["utils.py"]
    assert says_hello(tmp_path / "repo", change["commit_sha"])
    assert (ran.result["model"]["profile"], ran.result["verdict"]) == ("Small", "Verified")


@pytest.fixture
def endpoint(testbed: Kubectl, coder: Served) -> Iterator[str]:
    """Where pods reach the coder: the host is the address before the node's."""
    (node,) = testbed.get("nodes")["items"]
    addresses = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
    host = str(IPv4Address(addresses[0]) - 1)
    with forwarded(host, coder.port) as port:
        yield f"http://{host}:{port}"


def send(home: Home, endpoint: str, model: str, profile: str) -> None:
    """Apply a class for the profile and the reference task with it."""
    name = f"coder-{profile.lower()}"
    spec = {"model": {"endpoint": endpoint, "name": model, "profile": profile}}
    spec |= {"nats": {"url": NATS_URL}}
    home.kubectl.apply(agent_class(name, {"spec": spec}))
    limits = {"activeDeadlineSeconds": int(SECONDS)}
    home.apply(task(profile.lower(), PROMPT, className=name, verify=[PYTEST], limits=limits))


@pytest.mark.timeout(2400)
def test_the_coder_does_the_reference_task_in_the_pod(
    home: Home, coder: Served, endpoint: str
) -> None:
    send(home, endpoint, coder.model, "Small")
    state = until(home, "small", SECONDS + 120, phase="Succeeded", verdict="Verified")
    artifacts = state["artifacts"]
    assert artifacts["filesChanged"] == ["utils.py"]
    script = f"git -C /repos/hello.git show {artifacts['commitSHA']}:utils.py"
    pushed = home.kubectl("-n", WHERE, "exec", "deploy/git", "--", "sh", "-c", script)
    names: dict[str, object] = {}
    exec(compile(pushed, "utils.py", "exec"), names)
    hello = names["hello_world"]
    assert callable(hello)
    assert hello() == "Hello, World!"
    assert result_of(home, "small")["model"]["way"] == "Questions"


@pytest.mark.timeout(2400)
def test_the_large_profile_is_honest_about_what_the_coder_cannot_do(
    home: Home, coder: Served, endpoint: str
) -> None:
    send(home, endpoint, coder.model, "Large")
    state = finished(home, "large", SECONDS + 120)
    result = result_of(home, "large")
    assert result["model"]["way"] == "Loop"
    assert result["usage"]["model_calls"] > 0
    if state["phase"] == "Succeeded":
        assert state["verdict"] == "Verified"
        assert state["artifacts"]["filesChanged"] == ["utils.py"]
    else:
        assert state["reason"] in HONEST, state
