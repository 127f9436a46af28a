"""The NetworkPolicy of a class in one namespace: nothing in, and out only where it must.

Pure. One policy for all tasks of a class in a namespace, owned by the class. A policy knows
addresses and pods, not names: an endpoint is opened when it is a Service or an address, and
anything else is for the class's `egress`.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from agenttask_api import names
from agenttask_api.agentclass import AgentClassSpec, Egress
from agenttask_api.schema import API_VERSION
from agenttask_operator.observed import AgentClass

Object = dict[str, Any]

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that the API server itself gives each namespace."""
PORTS = {"http": 80, "https": 443, "nats": 4222, "tls": 4222, "tcp": 2375, "ssh": 22}


def build_policy(
    class_: AgentClass,
    namespace: str,
    common: tuple[Object, ...],
    nats_url: str,
    otlp_endpoint: str = "",
) -> Object:
    """Return the manifest; `common` are rules for every class, the addresses the operator's own."""
    assert class_.spec is not None
    label = names.class_label(class_.name)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"agenttask-{label}",
            "namespace": namespace,
            "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.LABEL_CLASS: label},
            "ownerReferences": [_owner(class_)],
        },
        "spec": {
            "podSelector": {
                "matchLabels": {
                    names.MANAGED_BY_LABEL: names.MANAGED_BY,
                    names.LABEL_CLASS: label,
                }
            },
            "policyTypes": ["Ingress", "Egress"],
            "egress": [*common, *_own_rules(class_.spec, namespace, nats_url, otlp_endpoint)],
        },
    }


def unopened(spec: AgentClassSpec, nats_url: str, otlp_endpoint: str = "") -> list[str]:
    """Return the endpoints that no rule can be made of, so that `egress` has to open them."""
    urls = _endpoints(spec, nats_url, otlp_endpoint)
    return [url for url in urls if _endpoint_rule(url, "") is None]


def _owner(class_: AgentClass) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "AgentClass",
        "name": class_.name,
        "uid": class_.uid,
    }


def _own_rules(
    spec: AgentClassSpec, namespace: str, nats_url: str, otlp_endpoint: str
) -> Iterator[Object]:
    for url in _endpoints(spec, nats_url, otlp_endpoint):
        rule = _endpoint_rule(url, namespace)
        if rule:
            yield rule
    yield from map(_egress_rule, spec.egress)


def _endpoints(spec: AgentClassSpec, nats_url: str, otlp_endpoint: str) -> list[str]:
    engines = [toolchain.docker_host for toolchain in spec.toolchains]
    found = [spec.model.endpoint, spec.nats.url or nats_url, otlp_endpoint, *engines]
    return list(dict.fromkeys(url for url in found if url))


def _endpoint_rule(url: str, namespace: str) -> Object | None:
    """A Service's whole namespace is opened: its pods' ports may differ from its own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        where = _service_namespace(host, namespace)
        return None if where is None else {"to": [_peer({NAMESPACE_NAME: where})]}
    port = parts.port or PORTS.get(parts.scheme, 443)
    block = {"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}
    return {"to": [block], "ports": _ports((port,))}


def _service_namespace(host: str, namespace: str) -> str | None:
    """Return where the Service is that a host name means; None = it means none."""
    labels = host.split(".")
    if len(labels) == 1:
        return namespace
    return labels[1] if len(labels) > 2 and labels[2] == "svc" else None


def _egress_rule(egress: Egress) -> Object:
    selector = egress.namespace_selector
    peer = _peer(dict(selector.match_labels)) if selector else {"ipBlock": {"cidr": egress.cidr}}
    return {"to": [peer], **({"ports": _ports(egress.ports)} if egress.ports else {})}


def _peer(labels: dict[str, str]) -> Object:
    return {"namespaceSelector": {"matchLabels": labels}}


def _ports(numbers: tuple[int, ...]) -> list[Object]:
    return [{"protocol": "TCP", "port": number} for number in numbers]
