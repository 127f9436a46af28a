"""The agent image's target `full`: its tools answer and its toolchains run real tests.

In the image itself, as its own user and without a network; no cluster is needed.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agenttask_testbed import images

GO = {
    "go.mod": "module example.org/x\n\ngo 1.19\n",
    "x_test.go": """package x
import "testing"
func TestGood(t *testing.T) {}
func TestLater(t *testing.T) { t.Skip() }
""",
}
NPM = {
    "package.json": '{"name": "x", "version": "1.0.0", "scripts": {"test": "node --test"}}',
    "a.test.js": "const test = require('node:test');\n"
    "test('good', () => {});\ntest('later', {skip: true}, () => {});\n",
}
CARGO = {
    "Cargo.toml": '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "x"\nversion = "0.1.0"\n',
    "src/lib.rs": "#[test] fn good() {}\n#[test] #[ignore] fn later() {}\n",
}
PROJECTS = {"go_test": GO, "npm_test": NPM, "cargo_test": CARGO}
VERSIONS = ("go version", "node --version", "npm --version", "cargo --version", "rustc --version",
            "podman --version", "python3 --version", "git --version", "rg --version",
            "make --version", "pytest --version")  # fmt: skip
CALL = """set -e
cp -r /projects "$TMPDIR/projects"
cd "$TMPDIR/projects"
for name in *; do
  git -C "$name" init --quiet
  agenttask-agent call --workspace "$name" "tests.$name" --params '{}' > "$name.json" || true
done
id -u
exec python3 -c '
import json, pathlib
print(json.dumps({p.stem: json.loads(p.read_text()) for p in pathlib.Path().glob("*.json")}))
'
"""


@pytest.fixture(scope="module")
def image() -> str:
    images.build(images.FULL)
    return images.FULL.tag


def inside(image: str, *command: str, folder: Path | None = None) -> str:
    """Return what a command prints in the image; it must succeed."""
    mounts = ["--mount", f"{folder}:/projects"] if folder else []
    words = [images.IMAGES, "run", image, *mounts, "--", *command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_tool_answers_with_its_version(image: str) -> None:
    script = " && ".join(f"echo '{line}:' && {line}" for line in VERSIONS)
    said = inside(image, "sh", "-ec", script)
    for line in VERSIONS:
        after = said.partition(f"{line}:\n")[2].splitlines()
        assert after, said
        assert any(c.isdigit() for c in after[0]), said


def test_go_npm_and_cargo_test_a_project_through_the_agents_own_call(
    image: str, tmp_path: Path
) -> None:
    for project, files in PROJECTS.items():
        for name, content in files.items():
            path = tmp_path / project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    tmp_path.chmod(0o755)

    said = inside(image, "sh", "-c", f"export TMPDIR=$(mktemp -d)\n{CALL}", folder=tmp_path)

    user, results = said.strip().splitlines()[-2:]
    assert user == "65532"
    found: dict[str, Any] = json.loads(results)
    assert sorted(found) == sorted(PROJECTS)
    for name, result in found.items():
        assert result["ok"], (name, result)
        counts = result["metadata"]["tests"]
        assert (counts["passed"], counts["failed"], counts["skipped"]) == (1, 0, 1), (name, result)
