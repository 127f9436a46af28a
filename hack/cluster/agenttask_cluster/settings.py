"""The part of kind's configuration file that makes sense on one machine.

The same file works with kind itself. What has no meaning here is refused by name
rather than ignored. kubectl turns the YAML into JSON; no cluster is asked.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import ClusterError
from .processes import run

API_VERSION = "kind.x-k8s.io/v1alpha4"
KNOWN = {
    "kind",
    "apiVersion",
    "name",
    "nodes",
    "featureGates",
    "runtimeConfig",
    "kubeadmConfigPatches",
}
KNOWN_OF_NODES = {"role", "image", "kubeadmConfigPatches"}
COMPONENTS = {
    "apiServer": "kube-apiserver",
    "controllerManager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
}
GATED = (*COMPONENTS.values(), "kubelet", "kube-proxy")

Flags = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Settings:
    """What a configuration file asks for."""

    name: str = ""
    flags: Flags = field(default_factory=dict)
    """More flags by program; they win over ours."""

    kubelet: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the kubelet's configuration that replace ours."""


def read(path: Path, kubectl: Path) -> Settings:
    if not path.is_file():
        raise ClusterError(f"failed to read config: open {path}: no such file or directory")
    content = to_json(path.read_text(encoding="utf-8"), kubectl)
    patches = [to_json(patch, kubectl) for patch in find_patches(content)]
    return parse(content, patches)


def to_json(text: str, kubectl: Path) -> dict[str, Any]:
    command = (
        str(kubectl),
        "patch",
        "--local",
        "-f",
        "-",
        "--type",
        "merge",
        "-p",
        "{}",
        "-o",
        "json",
    )
    content: dict[str, Any] = json.loads(run(*command, text=text, env={}))
    return content


def find_patches(content: Mapping[str, Any]) -> list[str]:
    nodes = content.get("nodes") or []
    owners = [content, *nodes]
    return [patch for owner in owners for patch in owner.get("kubeadmConfigPatches") or []]


def parse(content: Mapping[str, Any], patches: list[dict[str, Any]]) -> Settings:
    """Settings from a configuration and its patches, both already objects."""
    _check(content)
    flags: dict[str, dict[str, str]] = {}
    kubelet: dict[str, Any] = {}
    if content.get("featureGates"):
        for program in GATED:
            flags.setdefault(program, {})["feature-gates"] = _join(content["featureGates"])
    if content.get("runtimeConfig"):
        flags.setdefault("kube-apiserver", {})["runtime-config"] = _join(content["runtimeConfig"])
    for patch in patches:
        if patch["kind"] == "KubeletConfiguration":
            kubelet |= {
                key: value
                for key, value in patch.items()
                if key not in {"kind", "apiVersion", "metadata"}
            }
        for program, more in read_flags(patch).items():
            flags.setdefault(program, {}).update(more)
    return Settings(content.get("name", ""), flags, kubelet)


def _check(content: Mapping[str, Any]) -> None:
    if (content.get("kind"), content.get("apiVersion")) != ("Cluster", API_VERSION):
        raise ClusterError(f"unknown config: expected kind Cluster of {API_VERSION}")
    nodes = content.get("nodes") or []
    if len(nodes) > 1 or any(one.get("role", "control-plane") != "control-plane" for one in nodes):
        raise ClusterError("a cluster here has exactly one node, of role control-plane")
    unknown = {key for key in content if key not in KNOWN}
    unknown |= {f"nodes.{key}" for one in nodes for key in one if key not in KNOWN_OF_NODES}
    if unknown:
        raise ClusterError(
            f"fields of the config that mean nothing here: {', '.join(sorted(unknown))}"
        )


def read_flags(patch: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Flags by program in a patch of kubeadm's configuration."""
    kind = patch["kind"]
    if kind == "ClusterConfiguration":
        wished = {
            program: patch.get(field, {}).get("extraArgs") for field, program in COMPONENTS.items()
        }
    elif kind == "InitConfiguration":
        wished = {"kubelet": patch.get("nodeRegistration", {}).get("kubeletExtraArgs")}
    elif kind == "KubeletConfiguration":
        wished = {}
    else:
        raise ClusterError(f"a patch of {kind} means nothing here")
    return {program: _as_flags(arguments) for program, arguments in wished.items() if arguments}


def _as_flags(arguments: Any) -> dict[str, str]:
    """Both ways kubeadm writes flags: a map, or since v1beta4 a list of names and values."""
    if isinstance(arguments, list):
        return {one["name"]: str(one["value"]) for one in arguments}
    return {name: str(value) for name, value in arguments.items()}


def _join(values: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={str(value).lower()}" for name, value in values.items())
