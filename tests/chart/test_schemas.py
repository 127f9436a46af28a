"""kubeconform finds what is wrong with a manifest, by schemas made from Kubernetes' own."""

from pathlib import Path

import pytest

from agenttask_testbed import schemas
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
