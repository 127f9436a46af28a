"""Argo CD's application controller and repo-server, with the shipped health rule in argocd-cm."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.e2e.tasks import Home, eventually
from tests.gitops.programs import await_port, free_port, module_folder, program, running
from tests.gitops.repository import BRANCH, FOLDER, Repository

from agenttask_testbed.commands import ROOT, Kubectl

PACKAGE = "github.com/argoproj/argo-cd/v3@v3.2.11"
WHERE = "argocd"
SHIPPED = ROOT / "examples" / "gitops" / "argocd"
PROJECT = {
    "sourceRepos": ["*"],
    "destinations": [{"namespace": "*", "server": "*"}],
    "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
}
FAST = {"timeout.reconciliation": "10s", "timeout.reconciliation.jitter": "0s"}
MARK = {"app.kubernetes.io/part-of": "argocd"}
Object = dict[str, Any]


class Argo:
    """Applications, as their owner sees them."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._home = Home(kubectl, WHERE)

    def follow(self, home: Home, repository: Repository, **policy: Any) -> None:
        """Make the Application of a namespace from the shipped one."""
        shipped = yaml.safe_load((SHIPPED / "application.yaml").read_text("utf-8"))
        spec = shipped["spec"]
        spec["source"] |= {"repoURL": repository.url, "targetRevision": BRANCH, "path": FOLDER}
        spec["destination"]["namespace"] = home.namespace
        spec["syncPolicy"]["automated"] |= policy
        metadata = {
            "name": home.namespace,
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        }
        self._home.apply({**shipped, "metadata": metadata})

    def refresh(self, home: Home) -> None:
        """Compare with git again, and wait until that was done."""
        self._home.run("annotate", "--overwrite", "application", home.namespace,
                       "argocd.argoproj.io/refresh=normal")  # fmt: skip

        def done() -> bool:
            found = self._home.get("application", home.namespace)
            return "argocd.argoproj.io/refresh" not in found["metadata"].get("annotations", {})

        eventually(done, 60, "Argo CD to refresh")

    def state(self, home: Home) -> Object:
        found: Object = self._home.get("application", home.namespace).get("status", {})
        return found

    def health(self, home: Home) -> str:
        return str(self.state(home).get("health", {}).get("status", ""))

    def synced(self, home: Home) -> str:
        """Return the commit that is applied, or nothing."""
        sync = self.state(home).get("sync", {})
        return str(sync.get("revision", "")) if sync.get("status") == "Synced" else ""

    def remove(self, home: Home) -> None:
        """Delete the Application with all that it brought."""
        self._home.run(
            "delete", "application", home.namespace, "--ignore-not-found", "--timeout=240s"
        )

    def forget(self, home: Home) -> None:
        """Delete the Application alone: one whose sync is refused takes minutes to clean up."""
        if not self._home.run("get", "application", home.namespace, "--ignore-not-found"):
            return
        bare = '{"metadata": {"finalizers": null}}'
        self._home.run("patch", "application", home.namespace, "--type=merge", "-p", bare)
        self._home.run("delete", "application", home.namespace, "--ignore-not-found")


@contextmanager
def argo_running(kubectl: Kubectl, folder: Path) -> Iterator[Argo]:
    """Install Argo CD's resource definitions and settings and run it until the block ends."""
    install(kubectl)
    redis, repo = free_port(), free_port()
    environment = {
        "KUBECONFIG": kubectl.kubeconfig,
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_RECONCILIATION_TIMEOUT": "10s",
        "ARGOCD_RECONCILIATION_JITTER": "0s",
        # Else only Argo CD's API server, which is not here, tells the health of one resource.
        "ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH": "true",
        **{name: str(folder / name.lower()) for name in
           ("TMPDIR", "ARGOCD_TLS_DATA_PATH", "ARGOCD_SSH_DATA_PATH")},
    }  # fmt: skip
    for name in ("TMPDIR", "ARGOCD_TLS_DATA_PATH", "ARGOCD_SSH_DATA_PATH"):
        Path(environment[name]).mkdir()
    (folder / "argocd_ssh_data_path" / "ssh_known_hosts").touch()
    with ExitStack() as stack:
        for name, argv in commands(folder, kubectl, redis, repo).items():
            stack.enter_context(running(folder / f"{name}.log", *argv, **environment))
            await_port({"redis": redis, "repo-server": repo}.get(name, repo))
        yield Argo(kubectl)


def commands(folder: Path, kubectl: Kubectl, redis: int, repo: int) -> dict[str, tuple[str, ...]]:
    """Return what is to be run, in order; a component of Argo CD is the name of its file."""
    server = shutil.which("redis-server")
    assert server, "redis-server is missing: apt-get install redis-server"
    for name in ("argocd-repo-server", "argocd-application-controller"):
        (folder / name).symlink_to(program("argocd"))
    return {
        "redis": (server, "--bind", "127.0.0.1", "--port", str(redis), "--save", "",
                  "--appendonly", "no", "--dir", str(folder)),
        "repo-server": (str(folder / "argocd-repo-server"), "--address", "127.0.0.1",
                        "--port", str(repo), "--metrics-address", "127.0.0.1",
                        "--metrics-port", str(free_port()), "--disable-tls",
                        "--redis", f"127.0.0.1:{redis}"),
        "controller": (str(folder / "argocd-application-controller"),
                       "--kubeconfig", kubectl.kubeconfig, "--namespace", WHERE,
                       "--repo-server", f"127.0.0.1:{repo}", "--repo-server-plaintext",
                       "--redis", f"127.0.0.1:{redis}", "--app-resync", "10",
                       "--app-resync-jitter", "0", "--metrics-port", str(free_port())),
    }  # fmt: skip


def install(kubectl: Kubectl) -> None:
    """Apply Argo CD's resource definitions, and the settings that its installation has."""
    crds = module_folder("argocd", PACKAGE) / "manifests" / "crds"
    for kind in ("application", "appproject", "applicationset"):
        kubectl("apply", "--server-side", "-f", str(crds / f"{kind}-crd.yaml"))
    kubectl("wait", "--for=condition=Established", "--timeout=60s",
            "crd/applications.argoproj.io", "crd/appprojects.argoproj.io")  # fmt: skip
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WHERE}})
    rules = yaml.safe_load((SHIPPED / "argocd-cm.yaml").read_text("utf-8"))["data"]
    objects = [
        config_map("argocd-cm", {**FAST, **rules}),
        *(config_map(name, {}) for name in ("argocd-rbac-cm", "argocd-tls-certs-cm",
                                            "argocd-ssh-known-hosts-cm", "argocd-gpg-keys-cm")),
        {"apiVersion": "v1", "kind": "Secret", "metadata": labelled("argocd-secret"),
         "stringData": {"server.secretkey": "of-a-test"}},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
         "metadata": {"name": "default"}, "spec": PROJECT},
    ]  # fmt: skip
    kubectl.apply(*objects, namespace=WHERE)


def config_map(name: str, data: dict[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": labelled(name), "data": data}


def labelled(name: str) -> Object:
    return {"name": name, "labels": {**MARK, "app.kubernetes.io/name": name}}
