"""The queries of the alerts and of the dashboard, and what they ask for."""

import json
import re

import yaml
from prometheus_client.parser import text_string_to_metric_families

from agenttask_testbed.chart import CHART

_NAME = re.compile(r"\bagenttask_[a-z_]+")
_SELECTOR = re.compile(r"(agenttask_[a-z_]+)\{([^}]*)\}")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!=|!~|=)")
_BY = re.compile(r"\bby \(([^)]*)\)")
PROMETHEUS_OWN = {"pod"}
"""Labels that Prometheus adds when it scrapes."""


def alerts() -> dict[str, str]:
    """Return the alerts' expressions by name."""
    groups = yaml.safe_load((CHART / "files" / "rules.yaml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, list[str]]:
    """Return the expressions of the dashboard's panels by title."""
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text("utf-8"))
    return {p["title"]: [t["expr"] for t in p["targets"]] for p in dashboard["panels"]}


def unanswered(metrics: str) -> list[str]:
    """Return which names and labels of all queries the metrics do not have."""
    known: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    queries = [*alerts().values(), *(expr for exprs in panels().values() for expr in exprs)]
    return sorted({wrong for query in queries for wrong in _unanswered(query, known)})


def _unanswered(query: str, known: dict[str, set[str]]) -> list[str]:
    names = set(_NAME.findall(query))
    missing = [name for name in names if name not in known]
    for name, selector in _SELECTOR.findall(query):
        labels = _LABEL.findall(selector)
        missing += [f"{name}{{{label}}}" for label in labels if label not in known.get(name, ())]
    grouped = {label.strip() for by in _BY.findall(query) for label in by.split(",")}
    anywhere = PROMETHEUS_OWN.union(*(known.get(name, set()) for name in names))
    return missing + [f"by ({label}) of {query}" for label in grouped - anywhere]
