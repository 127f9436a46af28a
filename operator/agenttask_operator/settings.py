"""What the installer varies, read from the environment once.

A bad value stops the process with a message that names the variable: an operator
that guesses is worse than one that does not start.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agenttask_api.tracing import ENV_ENDPOINT
from agenttask_operator.tenants import BadTenant, Tenants, read_tenants

Object = dict[str, Any]

DEFAULT_CLUSTER_ID = "default"
ENFORCED = ("Unknown", "True", "False")


class BadSetting(ValueError):
    """An environment variable is missing or cannot be used; the message names it."""


@dataclass(frozen=True)
class Settings:
    """The operator's configuration."""

    agent_image: str
    """AGENT_IMAGE: the image of clone, courier and every toolchain that names none."""
    nats_url: str = ""
    """NATS_URL: where results and events go; empty = nothing is published."""
    nats_creds: str = ""
    """NATS_CREDS: a creds file for the operator's own connection; empty = none."""
    nats_nkey: str = ""
    """NATS_NKEY: a file with an nkey seed, for the same; empty = none."""
    nats_tls: str = ""
    """NATS_TLS: a folder with ca.crt, and tls.crt with tls.key where NATS asks for them."""
    cluster_id: str = DEFAULT_CLUSTER_ID
    """CLUSTER_ID: names this cluster in event sources and in the run-once ledger: clusters that
    share a NATS must not share it."""
    namespaces: tuple[str, ...] = ()
    """NAMESPACES: comma separated; empty = all."""
    max_tasks: int = 0
    """MAX_TASKS: how many tasks may run at once; 0 = no limit."""
    max_tasks_per_namespace: int = 0
    """MAX_TASKS_PER_NAMESPACE: the same for each namespace."""
    model_probe_seconds: float = 10.0
    """MODEL_PROBE_SECONDS: how often model endpoints are asked how they are; 0 = never."""
    workers: int = 16
    """WORKERS: tasks reconciled at the same time. They wait for the API server, not
    for the processor, so more of them only deepen its queue."""
    resync_seconds: float = 300.0
    """RESYNC_SECONDS: how often everything is listed again, to repair what a watch lost."""
    http_address: str = "0.0.0.0:8080"
    """HTTP_ADDRESS: `host:port` of /healthz, /readyz and /metrics; empty = none."""
    lease_namespace: str = ""
    """LEASE_NAMESPACE: where the Lease is by which several operators elect a leader; empty =
    there is no other operator, this one acts at once."""
    egress: tuple[Object, ...] | None = None
    """NETWORK_EGRESS: a JSON list of NetworkPolicyEgressRules for every task (DNS, git);
    empty = no network policies are made."""
    egress_enforced: str = "Unknown"
    """EGRESS_ENFORCED: True, False or Unknown: whether the cluster enforces network policies,
    as the installer has found out."""
    otlp_endpoint: str = ""
    """OTEL_EXPORTER_OTLP_ENDPOINT: where traces of runs go, by OTLP over HTTP; empty = nowhere."""
    log_level: str = "INFO"
    """LOG_LEVEL: DEBUG, INFO, WARNING or ERROR."""
    tenants: Tenants = Tenants()
    """TENANTS: who may command by NATS, as `name=namespace/service-account,...`; empty = nobody.
    DEFAULT_TENANT: the one whose the subjects without a tenant are; empty = nobody's."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings that the environment holds; raises BadSetting."""
    nats_url = _url(environ, "NATS_URL", ("nats://", "tls://"))
    namespaces = _names(environ.get("NAMESPACES", ""))
    return Settings(
        agent_image=_required(environ, "AGENT_IMAGE"),
        nats_url=nats_url,
        nats_creds=environ.get("NATS_CREDS", "").strip(),
        nats_nkey=environ.get("NATS_NKEY", "").strip(),
        nats_tls=environ.get("NATS_TLS", "").strip(),
        cluster_id=_cluster_id(environ),
        namespaces=namespaces,
        max_tasks=int(_number(environ, "MAX_TASKS", 0, 0, 100000)),
        max_tasks_per_namespace=int(_number(environ, "MAX_TASKS_PER_NAMESPACE", 0, 0, 100000)),
        model_probe_seconds=_number(environ, "MODEL_PROBE_SECONDS", 10, 0, 3600),
        workers=int(_number(environ, "WORKERS", 16, 1, 256)),
        resync_seconds=_number(environ, "RESYNC_SECONDS", 300, 1, 86400),
        http_address=_address(environ, "HTTP_ADDRESS", Settings.http_address),
        lease_namespace=environ.get("LEASE_NAMESPACE", "").strip(),
        egress=_rules(environ, "NETWORK_EGRESS"),
        egress_enforced=_choice(environ, "EGRESS_ENFORCED", ENFORCED),
        otlp_endpoint=_url(environ, ENV_ENDPOINT, ("http://", "https://")),
        log_level=_choice(environ, "LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
        tenants=_tenants(environ, nats_url, namespaces),
    )


def _tenants(environ: Mapping[str, str], nats_url: str, namespaces: tuple[str, ...]) -> Tenants:
    try:
        found = read_tenants(environ.get("TENANTS", ""), environ.get("DEFAULT_TENANT", "").strip())
    except BadTenant as error:
        raise BadSetting(f"TENANTS and DEFAULT_TENANT: {error}") from error
    if found.by_name and not nats_url:
        raise BadSetting("TENANTS is set and NATS_URL is not: commands come by NATS")
    outside = {t.namespace for t in found.by_name.values()} - set(namespaces)
    if namespaces and outside:
        raise BadSetting(f"TENANTS names {', '.join(sorted(outside))}, which NAMESPACES does not")
    return found


def _cluster_id(environ: Mapping[str, str]) -> str:
    value = environ.get("CLUSTER_ID", "").strip() or DEFAULT_CLUSTER_ID
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", value):
        raise BadSetting(f"CLUSTER_ID must be of A-Z, a-z, 0-9, - and _ only, not {value!r}")
    return value


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise BadSetting(f"{name} must be set")
    return value


def _url(environ: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    value = environ.get(name, "").strip()
    if value and not value.startswith(schemes):
        raise BadSetting(f"{name} must begin with {' or '.join(schemes)}, not {value!r}")
    return value


def _address(environ: Mapping[str, str], name: str, default: str) -> str:
    value = environ.get(name, default).strip()
    host, _, port = value.rpartition(":")
    if value and not (host and port.isdigit() and int(port) < 65536):
        raise BadSetting(f"{name} must be host:port, not {value!r}")
    return value


def _rules(environ: Mapping[str, str], name: str) -> tuple[Object, ...] | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadSetting(f"{name} must be JSON: {error}") from None
    if not isinstance(value, list) or not all(isinstance(rule, dict) for rule in value):
        raise BadSetting(f"{name} must be a list of NetworkPolicyEgressRules")
    return tuple(value)


def _number(
    environ: Mapping[str, str], name: str, default: float, low: float, high: float
) -> float:
    text = environ.get(name, "").strip()
    try:
        value = float(text) if text else float(default)
    except ValueError:
        raise BadSetting(f"{name} must be a number, not {text!r}") from None
    if not low <= value <= high:
        raise BadSetting(f"{name} must be between {low:g} and {high:g}, not {value:g}")
    return value


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = environ.get(name, "").strip() or choices[0]
    for choice in choices:
        if choice.upper() == value.upper():
            return choice
    raise BadSetting(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(sorted({name.strip() for name in text.split(",") if name.strip()}))
