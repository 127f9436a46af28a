"""The few questions and orders for which this tool calls kubectl."""

import subprocess
from pathlib import Path

from .errors import ClusterError
from .processes import run


class Kubectl:
    """kubectl with one kubeconfig file."""

    def __init__(self, binary: Path, kubeconfig: Path) -> None:
        self.command = [str(binary), "--kubeconfig", str(kubeconfig)]

    def run(self, *arguments: str, text: str | None = None) -> str:
        return run(*self.command, *arguments, text=text)

    def apply(self, manifest: str) -> None:
        self.run("apply", "--server-side", "-f", "-", text=manifest)

    def is_api_ready(self) -> bool:
        return self._answer("get", "--raw", "/readyz") == "ok"

    def has_node(self, node: str) -> bool:
        return self._answer("get", "node", node, "-o", "name") != ""

    def takes_pods(self) -> bool:
        """Whether a pod without an account of its own is admitted in the default namespace."""
        return self._answer("get", "serviceaccount", "default", "-o", "name") != ""

    def is_node_ready(self, node: str) -> bool:
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        return self._answer("get", "node", node, "-o", f"jsonpath={path}") == "True"

    def is_dns_available(self) -> bool:
        path = "jsonpath={.status.availableReplicas}"
        return self._answer("-n", "kube-system", "get", "deployment", "coredns", "-o", path) == "1"

    def _answer(self, *arguments: str) -> str:
        """Output of a question; empty while there is none."""
        result = subprocess.run([*self.command, *arguments], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else ""


def merge_context(kubectl: Path, source: Path, target: Path) -> None:
    """Add a cluster's context to a kubeconfig file of the user and make it current."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        target.touch(0o600)
    env = {"KUBECONFIG": f"{source}:{target}"}
    merged = run(str(kubectl), "config", "view", "--flatten", "--raw", env=env)
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.touch(0o600)
    unfinished.write_text(merged)
    unfinished.rename(target)


def remove_context(kubectl: Path, target: Path, name: str) -> None:
    """Take the context out again; other people's entries stay."""
    if not target.exists() or name not in target.read_text(encoding="utf-8"):
        return
    command = [str(kubectl), "--kubeconfig", str(target), "config"]
    try:
        current = run(*command, "view", "-o", "jsonpath={.current-context}")
        for kind in ("delete-context", "delete-cluster", "delete-user"):
            subprocess.run([*command, kind, name], capture_output=True)
        if current == name:
            run(*command, "unset", "current-context")
    except ClusterError:
        return
