"""`make demo`: a cluster, two tasks, and the proof of what came of them.

Exits 0 only if one task succeeded with a verified commit on the git server and
in NATS, and the other was refused by its tests and pushed nothing.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agenttask_testbed import images, product, services
from agenttask_testbed.commands import ROOT, CommandFailed, Kubectl, run

CLUSTER = "agenttask"
WHERE = "agenttask-demo"
KUBECONFIG = Path.home() / ".kube" / "agenttask-demo.kubeconfig"
EXAMPLES = ("hello-world", "hello-world-wrong")
NATS_URL = f"nats://nats.{WHERE}.svc:4222"
REHEARSAL_MODEL = "rehearsal"
TASK_SECONDS = 300
FINISHED = ("Succeeded", "Failed", "Cancelled")


@dataclass(frozen=True)
class DemoModel:
    """The model that the demo's tasks ask."""

    endpoint: str
    name: str
    real: bool

    def describe(self) -> str:
        """Say which model it is, so that nobody takes a rehearsal for a model."""
        if self.real:
            return f"real model {self.name} at {self.endpoint}"
        return "REHEARSAL server: replies come from examples/rehearsals, no model is asked"


def choose_model(environment: dict[str, str]) -> DemoModel:
    """Return the real model that MODEL_URL names, else the rehearsal server."""
    url = environment.get("MODEL_URL", "").rstrip("/").removesuffix("/v1")
    if not url:
        return DemoModel(f"http://model.{WHERE}.svc:8000", REHEARSAL_MODEL, real=False)
    if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        raise SystemExit(
            f"MODEL_URL={url} is this machine's loopback, which pods cannot reach: let the server"
            " listen on 0.0.0.0 and give an address that the cluster's pods can reach"
        )
    name = environment.get("MODEL_NAME", "")
    if not name:
        raise SystemExit("MODEL_URL is set but MODEL_NAME is not: name the model that is served")
    return DemoModel(url, name, real=True)


class Console:
    """Progress for a person: what is being done, and how long it took."""

    def __init__(self) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Print one step with the seconds since the start."""
        print(f"[{time.monotonic() - self._start:6.1f}s] {text}", flush=True)

    def title(self, text: str) -> None:
        """Print a heading."""
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def start_cluster(say: Callable[[str], None]) -> Kubectl:
    """Create the demo's cluster unless it runs, and return its kubectl."""
    kind = images.cluster_tool()
    if CLUSTER not in run(kind, "get", "clusters").split():
        say(f"creating the cluster {CLUSTER} (the first time its programs are built: minutes)")
        run(kind, "create", "cluster", "--name", CLUSTER, "--kubeconfig", str(KUBECONFIG),
            "--wait", "3m", show=True)  # fmt: skip
    else:
        say(f"the cluster {CLUSTER} runs already")
        run(kind, "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", str(KUBECONFIG))
    return Kubectl(images.binary("kubectl"), str(KUBECONFIG))


def start_services(kubectl: Kubectl, model: DemoModel, say: Callable[[str], None]) -> None:
    """Start NATS, the git server with its repository, and the rehearsal server."""
    kubectl.apply(services.namespace(WHERE))
    say("starting NATS and the git server")
    services.deploy_nats(kubectl, WHERE)
    seeds = {"hello": ROOT / "hack" / "testbed" / "repo"}
    services.grant_git(kubectl, WHERE, services.deploy_git(kubectl, WHERE, seeds))
    names = ["nats", "git"]
    say(f"model: {model.describe()}")
    if not model.real:
        scripts = sorted((ROOT / "examples" / "rehearsals").glob("*.yaml"))
        services.deploy_model(kubectl, WHERE, scripts)
        names.append("model")
    services.wait_for(kubectl, WHERE, *names)


def install(kubectl: Kubectl, model: DemoModel, say: Callable[[str], None]) -> None:
    """Install the resource definitions, the operator and a default class."""
    say("installing AgentTask")
    product.install_crds(kubectl)
    product.install_operator(kubectl, {"nats": {"url": NATS_URL}, "clusterID": CLUSTER})
    kubectl.apply(product.default_class(model.endpoint, model.name, NATS_URL))


def run_tasks(kubectl: Kubectl, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Apply the examples and show every change of their state until both have ended.

    Each demo asks for new runs: applied again unchanged, a task shows how it ended before.
    """
    run_id = f"demo-{int(time.time()):x}"
    kubectl("-n", WHERE, "delete", "agenttasks", *EXAMPLES, "--ignore-not-found", "--wait")
    for name in EXAMPLES:
        say(f"kubectl apply -f examples/{name}.yaml")
        text = (ROOT / "examples" / f"{name}.yaml").read_text("utf-8")
        kubectl.apply(text.replace("spec:\n", f"spec:\n  runID: {run_id}\n", 1), namespace=WHERE)
    return watch(kubectl, say)


def watch(kubectl: Kubectl, say: Callable[[str], None]) -> dict[str, dict[str, Any]]:
    """Poll the tasks, at most TASK_SECONDS long, and return them by name."""
    seen: dict[str, str] = {}
    end = time.monotonic() + TASK_SECONDS
    while True:
        tasks = {t["metadata"]["name"]: t for t in kubectl.get("-n", WHERE, "agenttasks")["items"]}
        for name in EXAMPLES:
            status = tasks[name].get("status", {})
            state = f"{status.get('phase', '')} {status.get('reason', '')}".strip()
            if seen.get(name) != state:
                say(f"{name}: {state}")
                seen[name] = state
        if all(tasks[n].get("status", {}).get("phase") in FINISHED for n in EXAMPLES):
            return tasks
        if time.monotonic() > end:
            raise SystemExit(f"the tasks did not end within {TASK_SECONDS} s: see kubectl describe")
        time.sleep(0.5)


def git(kubectl: Kubectl, *args: str) -> str:
    """Run git inside the git server's pod, on the demo's repository."""
    return kubectl("-n", WHERE, "exec", "deploy/git", "--", "git", "-C", "/repos/hello.git", *args)


def nats_result(kubectl: Kubectl, task: str) -> dict[str, Any]:
    """Return the task's result as NATS holds it, read inside the operator's pod."""
    script = (ROOT / "hack" / "testbed" / "read_result.py").read_text("utf-8")
    inside = ("-n", product.SYSTEM, "exec", "-i", "deploy/agenttask-operator", "--", "python", "-")
    text = kubectl(*inside, NATS_URL, f"agent.results.{WHERE}.{task}", stdin=script)
    answer: dict[str, Any] = json.loads(text)
    return answer


def report(kubectl: Kubectl, console: Console, good: dict[str, Any], wrong: dict[str, Any]) -> None:
    """Print the whole story."""
    status = good.get("status", {})
    branch = status.get("artifacts", {}).get("branch", "")
    console.title("kubectl get agenttasks")
    print(kubectl("-n", WHERE, "get", "agenttasks"))
    if branch:
        console.title(f"the pushed commit, on branch {branch}")
        print(git(kubectl, "show", "--format=%H%n%an <%ae>%n%n%B", branch))
    console.title(f"agent.results.{WHERE}.hello-world, from NATS")
    result = nats_result(kubectl, "hello-world")
    shown = ("task_id", "success", "verdict", "stop_reason", "operation_counts", "usage")
    print(json.dumps({key: result[key] for key in shown} | changed(result), indent=2))
    console.title("why hello-world-wrong failed")
    print(wrong.get("status", {}).get("message", ""))


def changed(result: dict[str, Any]) -> dict[str, Any]:
    """Return the change and the names of its files, from a result."""
    artifacts = result["artifacts"]
    return {"change": artifacts["change"], "stored": [r["ref"] for r in artifacts["refs"]]}


def problems(kubectl: Kubectl, good: dict[str, Any], wrong: dict[str, Any]) -> list[str]:
    """Return everything that is not as a demo should end; empty = all came true."""
    status, failed = good.get("status", {}), wrong.get("status", {})
    artifacts = status.get("artifacts", {})
    found = []
    if (status.get("phase"), status.get("verdict")) != ("Succeeded", "Verified"):
        found.append(f"hello-world ended {status.get('phase')}/{status.get('reason')}")
    elif git(kubectl, "rev-parse", artifacts.get("branch", "")).strip() != artifacts.get(
        "commitSHA"
    ):
        found.append("the git server's branch is not the commit that the status names")
    elif not nats_result(kubectl, "hello-world").get("success"):
        found.append("the result in NATS does not say success")
    if (failed.get("phase"), failed.get("reason")) != ("Failed", "VerificationFailed"):
        found.append(f"hello-world-wrong ended {failed.get('phase')}/{failed.get('reason')}")
    if git(kubectl, "branch", "--list", "agenttask/hello-world-wrong").strip():
        found.append("hello-world-wrong pushed a branch")
    return found


def farewell(console: Console) -> None:
    """Say where to go next."""
    console.title("where to go next")
    print(
        f"  export KUBECONFIG={KUBECONFIG}\n"
        f"  kubectl -n {WHERE} describe agenttask hello-world\n"
        f"  kubectl -n {WHERE} get agenttasks -w          # and edit an example\n"
        f"  kubectl -n {WHERE} logs job/<job> -c agent    # what the agent did\n"
        "  docs/contract.md, docs/architecture.md        # how it works\n"
        "  make demo-down                                # remove everything again"
    )


def demo() -> int:
    """Run the whole demo; returns the exit code."""
    console, model = Console(), choose_model(dict(os.environ))
    kubectl = start_cluster(console.say)
    images.build_and_load(CLUSTER, console.say, images.cluster_tool())
    start_services(kubectl, model, console.say)
    install(kubectl, model, console.say)
    tasks = run_tasks(kubectl, console.say)
    good, wrong = (tasks[name] for name in EXAMPLES)
    report(kubectl, console, good, wrong)
    found = problems(kubectl, good, wrong)
    for problem in found:
        print(f"NOT AS PROMISED: {problem}", file=sys.stderr)
    if not found:
        farewell(console)
    return 1 if found else 0


def down() -> int:
    """Delete the demo's cluster and everything in it."""
    run(images.cluster_tool(), "delete", "cluster", "--name", CLUSTER, show=True)
    run(images.IMAGES, "clean")
    KUBECONFIG.unlink(missing_ok=True)
    return 0


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("action", choices=("up", "down"))
    action = parser.parse_args().action
    try:
        return demo() if action == "up" else down()
    except CommandFailed as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
