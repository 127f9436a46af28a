"""The same backlog for ours, Kelos and KubeOpenCode, in turns, each time on a cluster of its own.

    PYTHONPATH=hack/testbed .venv/bin/python -m tests.perf.peers \\
        --kelos CLONE --kubeopencode CLONE [--tasks 300] [--rounds 5]

CLONE: a git repository of the project that has the commit of `peersources.py`. The tasks are
there before the operator starts; the clock runs until each has its Job, or its Pod with
KubeOpenCode, which makes no Jobs. Pods fit no node. Each operator is left alone for some
seconds after that, so that its last writes are counted too. Printed as JSON; each turn is told
on stderr. A cluster is made sooner than three hundred tasks are removed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.harness import Api
from tests.perf.cluster import cluster
from tests.perf.kwok import requests
from tests.perf.peersources import KELOS, KUBEOPENCODE, Built, built
from tests.perf.scale import MAKERS, middle, ours, until
from tests.perf.usage import usage
from tests.servers.certs import make_certificates

from agenttask_testbed import images
from agenttask_testbed.commands import Kubectl

Object = dict[str, Any]
CLUSTER = "agenttask-peers"
SETTLE_SECONDS = 8.0
NOWHERE = {"agenttask.dev/nowhere": "true"}
PROMPT = "Add a function hello_world to utils.py and a test for it."


@dataclass(frozen=True)
class Contender:
    """An operator, its tasks and what it makes of each."""

    run: Callable[[Path, str], Any]
    """A context manager that runs it, given a folder and the namespace, and yields its process."""
    prepare: Callable[[Api, str], None]
    make: Callable[[Api, str, int], None]
    children: str
    """The API path of what it makes, with a place for the namespace."""
    agent: str
    """How its requests call themselves."""
    definitions: list[Object]
    """Of its resources, besides ours."""


JOBS = "/apis/batch/v1/namespaces/{}/jobs"
PODS = "/api/v1/namespaces/{}/pods"


@contextmanager
def run_ours(folder: Path, space: str) -> "Iterator[subprocess.Popen[Any]]":
    with ours(folder, space) as operator:
        assert operator.process
        yield operator.process


def runner(built_: Built, *arguments: str) -> Callable[[Path, str], Any]:
    """Return how a peer is run: with a folder for temporary files that holds a certificate."""

    @contextmanager
    def run(folder: Path, _: str) -> "Iterator[subprocess.Popen[Any]]":
        certificate(folder)
        argv = [str(built_.program), *arguments]
        argv += ["--metrics-bind-address=0", "--health-probe-bind-address=0"]
        with (folder / f"{built_.program.parent.name}.log").open("ab") as log:
            environ = {**os.environ, "TMPDIR": str(folder)}
            process = subprocess.Popen(argv, env=environ, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    return run


def certificate(folder: Path) -> None:
    """Put one where controller-runtime's webhook server looks; nobody asks it here."""
    at = folder / "k8s-webhook-server" / "serving-certs"
    if not at.exists():
        made = make_certificates(folder / "tls")
        at.mkdir(parents=True)
        (at / "tls.crt").write_bytes(made.cert.read_bytes())
        (at / "tls.key").write_bytes(made.key.read_bytes())


def task_of_kelos(number: int) -> Object:
    return {
        "apiVersion": "kelos.dev/v1alpha2",
        "kind": "Task",
        "metadata": {"name": f"t-{number}"},
        "spec": {
            "type": "opencode",
            "prompt": PROMPT,
            "image": "none",
            "credentials": {"type": "none"},
            "podOverrides": {"nodeSelector": NOWHERE},
        },
    }


def task_of_kubeopencode(number: int) -> Object:
    return {
        "apiVersion": "kubeopencode.io/v1alpha1",
        "kind": "Task",
        "metadata": {"name": f"t-{number}"},
        "spec": {"description": PROMPT, "templateRef": {"name": "bench"}},
    }


def make_template(api: Api, space: str) -> None:
    template = {
        "apiVersion": "kubeopencode.io/v1alpha1",
        "kind": "AgentTemplate",
        "metadata": {"name": "bench"},
        "spec": {
            "agentImage": "none",
            "executorImage": "none",
            "workspaceDir": "/workspace",
            "serviceAccountName": "default",
            "podSpec": {"scheduling": {"nodeSelector": NOWHERE}},
        },
    }
    path = f"/apis/kubeopencode.io/v1alpha1/namespaces/{space}/agenttemplates"
    api.request("POST", path, template)


def maker(group: str, task: Callable[[int], Object]) -> Callable[[Api, str, int], None]:
    def make(api: Api, space: str, number: int) -> None:
        api.request("POST", f"/apis/{group}/namespaces/{space}/tasks", task(number))

    return make


def contenders(kelos: Built, kubeopencode: Built) -> dict[str, Contender]:
    own, theirs = "kelos.dev/v1alpha2", "kubeopencode.io/v1alpha1"
    return {
        "ours": Contender(
            run_ours,
            lambda *_: None,
            lambda api, space, number: api.make_task(space, f"t-{number}"),
            JOBS,
            "agenttask-operator",
            [],
        ),
        "kelos": Contender(
            runner(kelos),
            lambda *_: None,
            maker(own, task_of_kelos),
            JOBS,
            "controller",
            kelos.definitions,
        ),
        "kubeopencode": Contender(
            runner(kubeopencode, "controller"),
            make_template,
            maker(theirs, task_of_kubeopencode),
            PODS,
            "controller",
            kubeopencode.definitions,
        ),
    }


def count_of(api: Api, path: str) -> int:
    answer = api.get(f"{path}?limit=1")
    return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount", 0))


def one_turn(api: Api, folder: Path, count: int, who: Contender) -> dict[str, float]:
    """Return the figures of one backlog on an empty cluster."""
    space = "peers"
    api.make_namespace(space)
    who.prepare(api, space)
    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(lambda n: who.make(api, space, n), range(count)))
    children = who.children.format(space)
    begun = time.time()
    with who.run(folder, space) as process:
        first = until(lambda: count_of(api, children) > 0)
        last = until(lambda: count_of(api, children) >= count)
        at_once = usage(process.pid)
        time.sleep(SETTLE_SECONDS)
        settled = usage(process.pid)
    told = requests(CLUSTER, space, count).get(who.agent, {})
    return {
        "first_s": first - begun,
        "children_per_s": count / (last - first),
        "cpu_ms_per_task": 1000 * at_once["cpu_s"] / count,
        "cpu_ms_per_task_settled": 1000 * settled["cpu_s"] / count,
        "peak_mb": settled["peak_mb"],
        "writes_per_task": told.get("writes, Events aside", 0.0),
        "events_per_task": told.get("Events", 0.0),
    }


@contextmanager
def world(definitions: list[Object]) -> Iterator[tuple[Api, Path]]:
    """Make a cluster that knows our resources and a peer's; give its API and a folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(CLUSTER, Path(folder), fast=False) as config,
    ):
        os.environ["KUBECONFIG"] = str(config)
        kubectl = Kubectl(images.binary("kubectl"), str(config))
        if definitions:
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions})
            kubectl("apply", "--server-side", "-f", "-", stdin=text)
            kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        api = Api(config, Path(folder))
        try:
            api.make_class()
            yield api, Path(folder)
        finally:
            api.close()


def compare(count: int, rounds: int, all_: Mapping[str, Contender]) -> Object:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in all_}
    for _ in range(rounds):
        for name, who in all_.items():
            with world(who.definitions) as (api, folder):
                found[name].append(one_turn(api, folder, count, who))
            print(name, found[name][-1], file=sys.stderr, flush=True)
    every = {n: [round(f["children_per_s"], 1) for f in of] for n, of in found.items()}
    medians = {name: middle(of) for name, of in found.items()}
    return {"tasks": count, "rounds": rounds, **medians, "every_rate": every}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="tests.perf.peers")
    parser.add_argument("--kelos", type=Path, required=True, metavar="CLONE")
    parser.add_argument("--kubeopencode", type=Path, required=True, metavar="CLONE")
    parser.add_argument("--tasks", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    # Told to stop, it takes its cluster away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    all_ = contenders(built(KELOS, asked.kelos), built(KUBEOPENCODE, asked.kubeopencode))
    figures = compare(asked.tasks, asked.rounds, all_)
    commits = {source.name: source.commit for source in (KELOS, KUBEOPENCODE)}
    print(json.dumps({"peers": figures, "commits": commits, "load": os.getloadavg()}))


if __name__ == "__main__":
    main()
