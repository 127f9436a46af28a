"""Which suites also run inside the agent's image, in a pod under `restricted`, and how.

The families files, git and tests: a file of tests/agent whose name says so is taken by
itself. `tests/contract/test_in_pod_suites.py` finds one that was forgotten.
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from agenttask_testbed.commands import ROOT

TESTS = ROOT / "tests" / "agent"
NAMES = (
    "test_file*.py", "test_git*.py", "test_checks*.py", "test_patch*.py", "test_workspace*.py",
    "test_processes.py", "test_wholeoutput.py",
)  # fmt: skip
ELSEWHERE = {
    "test_checks_toolchains.py": "go, npm and cargo are in `full`: tests/e2e/test_full_image.py",
    "test_audit.py": "the audit file; operations are its examples",
    "test_compaction.py": "long conversations; operations are its examples",
    "test_equipment.py": "what a run has beyond its workspace",
    "test_frame.py": "what the model is shown; operations are its examples",
    "test_git_attacks.py": "sixty attacks on every operation; test_git.py has one of each",
    "test_hostile.py": "the fuzzer, for minutes",
    "test_hostile_programs.py": "the fuzzer, for minutes",
    "test_loop.py": "the loop; operations are its examples",
    "test_parsing.py": "what a model writes; operations are its examples",
    "test_patch_properties.py": "the parser alone; the image has no hypothesis",
    "test_plan.py": "plan mode; operations are its examples, and the image has no hypothesis",
    "test_run.py": "a whole run; the other e2e tests are that in a pod",
    "test_toolbox.py": "how operations are called",
    "test_weaknesses.py": "validators of families whose servers are not in the pod",
}
"""Files that name operations of these families and stay outside, each with its reason."""
HELPERS = (TESTS, ROOT / "tests" / "servers")
PYTEST_INI = b"[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\npythonpath = .\n"
COMMAND = (
    "mkdir /tmp/src && tar -xf /suites/suites.tar -C /tmp/src && cd /tmp/src"
    " && id -u && exec python -m pytest -q -rs --timeout=60 tests/agent"
)


def files() -> list[Path]:
    """Return the test files that run in the pod."""
    found = {path for name in NAMES for path in TESTS.glob(name)}
    return sorted(path for path in found if path.name not in ELSEWHERE)


def archive() -> bytes:
    """Return the tests and what they need as a compressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in _needed():
            tar.add(path, path.relative_to(ROOT), recursive=False)
        info = tarfile.TarInfo("pytest.ini")
        info.size = len(PYTEST_INI)
        tar.addfile(info, io.BytesIO(PYTEST_INI))
    return buffer.getvalue()


def _needed() -> Iterator[Path]:
    yield from files()
    for folder in HELPERS:
        yield from (p for p in sorted(folder.glob("*.py")) if not p.name.startswith("test_"))
    yield from sorted((ROOT / "examples" / "rehearsals").glob("*.yaml"))


POD = """
apiVersion: v1
kind: Pod
metadata: {name: suites}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: suites
      image: IMAGE
      imagePullPolicy: IfNotPresent
      command: [sh, -c, "COMMAND"]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources: {limits: {memory: 1Gi}}
      volumeMounts:
        - {name: suites, mountPath: /suites, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        - {name: home, mountPath: /home/agent}
  volumes:
    - {name: suites, configMap: {name: suites}}
    - {name: tmp, emptyDir: {}}
    - {name: home, emptyDir: {}}
"""


def pod(image: str) -> str:
    """Return the pod that runs them."""
    return POD.replace("IMAGE", image).replace("COMMAND", COMMAND)
