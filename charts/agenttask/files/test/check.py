"""Create the task of `helm test`, wait for its end, and say what came of it."""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
TASK: dict[str, Any] = json.loads(Path("/test/task.json").read_text("utf-8"))
TASKS = f"/apis/agenttask.dev/v1alpha1/namespaces/{TASK['metadata']['namespace']}/agenttasks"
ITSELF = f"{TASKS}/{TASK['metadata']['name']}"
SECONDS = 240.0


def call(method: str, path: str, body: object = None) -> dict[str, Any]:
    """Ask the API server; raises HTTPError."""
    request = urllib.request.Request(API + path, method=method)
    request.add_header("Authorization", f"Bearer {(ACCOUNT / 'token').read_text('utf-8')}")
    request.add_header("Content-Type", "application/json")
    data = json.dumps(body).encode() if body else None
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, data, timeout=15, context=trust) as reply:
        answer: dict[str, Any] = json.load(reply)
    return answer


def answers(url: str, trust: ssl.SSLContext | None = None) -> bool:
    """Say whether a server answers, whatever it says."""
    try:
        urllib.request.urlopen(url, timeout=3, context=trust).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def servers_answer() -> bool:
    """Say whether both servers of the test are there."""
    trust = ssl.create_default_context(cafile="/test/ca.crt")
    repository = f"{TASK['spec']['repo']['url']}/info/refs?service=git-upload-pack"
    return answers(f"{os.environ['MODEL_URL']}/health") and answers(repository, trust)


def until(check: Any, what: str) -> Any:
    """Return the check's first true answer; ends the process after SECONDS."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        answer = check()
        if answer:
            return answer
        time.sleep(1)
    sys.exit(f"FAILED: not within {SECONDS:.0f} s: {what}")


def ended() -> dict[str, Any] | None:
    """Return the task's status once it is final."""
    status: dict[str, Any] = call("GET", ITSELF).get("status", {})
    return status if status.get("phase") in ("Succeeded", "Failed", "Cancelled") else None


def main() -> None:
    """Run the test."""
    until(servers_answer, "the test's own servers to answer")
    call("POST", TASKS, TASK)
    status = until(ended, "the task to end (kubectl describe agenttask tells what it waits for)")
    call("DELETE", ITSELF)
    line = f"{status['phase']}/{status['verdict']}/{status['reason']}: {status['message']}"
    if (status["phase"], status["verdict"]) != ("Succeeded", "Verified"):
        sys.exit(f"FAILED: {line}")
    sys.stdout.write(f"the task ran without a model, was verified and pushed: {line}\n")


main()
