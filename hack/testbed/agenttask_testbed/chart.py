"""The chart: rendered without a cluster, and installed by the real helm."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agenttask_testbed import images
from agenttask_testbed.commands import ROOT, Kubectl, run

CHART = ROOT / "charts" / "agenttask"
SYSTEM = "agenttask-system"
RELEASE = "agenttask"
NAMESPACE = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {SYSTEM}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""

SMALL: dict[str, Any] = {}
LARGE = {
    "namespaces": ["team-a", "team-b"],
    "images": {"pullSecrets": ["registry"]},
    "model": {"url": "http://vllm.models.svc:8000", "name": "Qwen/Qwen3-0.6B"},
    "defaultClass": {"spec": {"flushSeconds": 60}},
    "nats": {"bundled": {"enabled": True}, "credsSecret": "nats"},
    "operator": {
        "env": {"WORKERS": 8, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel.monitoring.svc:4318"},
        "nodeSelector": {"zone": "a"},
        "tolerations": [{"key": "system", "operator": "Exists"}],
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "yes"},
    },
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "mon"}}}]},
    "monitoring": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "serviceMonitor": {"enabled": True},
        "rules": {"enabled": True},
        "dashboard": {"enabled": True},
    },
    "extraObjects": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "extra", "namespace": "{{ .Release.Namespace }}"},
        }
    ],
}
"""Values that leave nothing out."""
WITH_CLASS = ("--api-versions", "agenttask.dev/v1alpha1/AgentClass")
"""As on a cluster that has the resource definitions."""


def lint() -> None:
    """Ask helm what it thinks of the chart; raises CommandFailed."""
    run(images.binary("helm"), "lint", "--strict", str(CHART))


def render(values: Mapping[str, Any], *options: str, namespace: str = SYSTEM) -> str:
    """Return the manifests of a release, as YAML text; raises CommandFailed."""
    with _written(values) as file:
        return run(images.binary("helm"), "template", RELEASE, str(CHART), "--namespace", namespace,
                   "--values", file, "--skip-tests", *options)  # fmt: skip


def dashboard_rules() -> dict[str, Any]:
    """Return the dashboard's queries in the form of a rule file."""
    board = json.loads((CHART / "files" / "dashboard.json").read_text("utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries)]
    return {"groups": [{"name": "dashboard", "rules": rules}]}


def install_yaml() -> str:
    """Return what `kubectl apply -f` installs: the namespace, and the chart as it is."""
    return f"{NAMESPACE}{render({})}"


@dataclass(frozen=True)
class Helm:
    """helm for one cluster and one namespace."""

    kubectl: Kubectl
    namespace: str

    def __call__(self, *args: str, timeout: float = 600) -> str:
        """Run helm and return its standard output; raises CommandFailed."""
        cluster = ("--kubeconfig", self.kubectl.kubeconfig, "--namespace", self.namespace)
        return run(images.binary("helm"), *cluster, *args, timeout=timeout)

    def apply(
        self, release: str, values: Mapping[str, Any], *options: str, chart: str = str(CHART)
    ) -> None:
        """Install the release, or upgrade it."""
        with _written(values) as file:
            self("upgrade", "--install", release, chart, "--values", file, *options)


@contextmanager
def _written(values: Mapping[str, Any]) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        yield file.name


def package(version: str, folder: Path) -> str:
    """Return the path of the chart, packed under a version of its own."""
    run(images.binary("helm"), "package", str(CHART), "--version", version,
        "--app-version", version, "--destination", str(folder))  # fmt: skip
    return str(folder / f"agenttask-{version}.tgz")
