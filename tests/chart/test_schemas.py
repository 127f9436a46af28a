"""kubeconform finds what is wrong with a manifest, by schemas made from Kubernetes' own."""

import json
from pathlib import Path

import pytest
import yaml
from tests.operator.builders import make_class

from agenttask_operator.networkpolicy import build_policy
from agenttask_testbed import chart, schemas
from agenttask_testbed.commands import CommandFailed

GOOD = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: x}
spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    at = tmp_path_factory.mktemp("schemas")
    schemas.write(at)
    return at


def test_good_manifest_conforms(folder: Path) -> None:
    schemas.conform(folder, GOOD)
    schemas.conform(folder, GOOD.replace("minAvailable: 1", "minAvailable: 50%"))


def test_what_the_operator_makes_for_a_class_conforms(folder: Path) -> None:
    settings = yaml.safe_load((chart.CHART / "values.yaml").read_text("utf-8"))["networkPolicy"]
    class_ = make_class(
        model={"endpoint": "http://10.1.2.3:8000"},
        egress=[{"cidr": "10.5.0.0/16", "ports": [5432]}, {"namespaceSelector": {}}],
    )
    policy = build_policy(class_, "team", tuple(settings["taskEgress"]), "nats://n.nats.svc:4222")
    assert len(policy["spec"]["egress"]) == len(settings["taskEgress"]) + 4
    schemas.conform(folder, json.dumps(policy))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("minAvailable", "minAvailible", "minAvailible"),
        ("{a: b}", "[a]", "matchLabels"),
        ("policy/v1", "policy/v9", "could not find schema"),
    ],
)
def test_bad_manifest_is_named(folder: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        schemas.conform(folder, GOOD.replace(old, new))
    assert words in str(refused.value)
