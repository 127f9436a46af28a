"""Tools in the pod: a database through the door, HTTP hosts, no engine, and the image itself."""

import json
import secrets

import pytest
from tests.e2e import inpod
from tests.e2e.tasks import (
    PYTEST,
    Home,
    agent_class,
    eventually,
    logs,
    pods,
    result_of,
    task,
    until,
)

from agenttask_testbed import images, services
from agenttask_testbed.commands import Kubectl
from agenttask_testbed.demo import NATS_URL, REHEARSAL_MODEL, WHERE

HELLO = 'Add function hello_world() to utils.py. It returns "Hello, World!".'
CACHE = {"name": "cache", "kind": "redis", "secretRef": {"name": "cache-db"}}
NO_ENGINE = "not available: docker (no dockerHost in the class's toolchain)"
MODEL_HOST = f"model.{WHERE}.svc:8000"


@pytest.fixture(scope="module")
def redis_password(testbed: Kubectl, fresh_cluster_name: str) -> str:
    """Start a Redis that holds the greeting, and return the agent's password."""
    images.build(images.REDIS)
    images.load(images.REDIS, fresh_cluster_name)
    password, seeding = (f"pw-{secrets.token_hex(16)}" for _ in range(2))
    accounts = [
        f"user agent on >{password} ~* +@read -@dangerous +select +command|info",
        f"user seed on >{seeding} ~* +@write",
    ]
    testbed("-n", WHERE, "delete", "deployment", "redis", "--ignore-not-found")
    services.deploy_redis(testbed, WHERE, accounts)
    services.wait_for(testbed, WHERE, "redis")
    seed = ["redis-cli", "--no-auth-warning", "--user", "seed", "--pass", seeding]
    said = testbed("-n", WHERE, "exec", "deploy/redis", "--", *seed, "SET", "greeting",
                   "Hello, World!")  # fmt: skip
    assert said.strip() == "OK"
    return password


def secret_mounts(home: Home, name: str) -> dict[str, list[str]]:
    spec = pods(home, name)[0]["spec"]
    return {
        c["name"]: [m["mountPath"] for m in c["volumeMounts"] if "/secrets/db" in m["mountPath"]]
        for c in (*spec["initContainers"], *spec["containers"])
    }


def test_a_data_task_asks_a_database_whose_password_nobody_sees(
    home: Home, redis_password: str
) -> None:
    url = f"redis://agent:{redis_password}@redis.{WHERE}.svc:6379/0"
    home.apply(services.secret("cache-db", {"url": url}))
    wanted = {"role": "DATA", "tools": {"connections": [CACHE]}, "verify": [PYTEST]}
    home.apply(task("greet", "Ask the database what to say and say it.", **wanted))

    state = until(home, "greet", phase="Succeeded", verdict="Verified")

    assert state["operations"] == {"total": 3, "failed": 0, "denied": 1}
    mounts = secret_mounts(home, "greet")
    assert mounts.pop("courier") == ["/secrets/db/cache"]
    assert not any(mounts.values())
    result = result_of(home, "greet")
    assert [o["operation"] for o in result["operations"]][0] == "db.redis_command"
    printed = logs(home, "greet")
    assert '"event": "db.request", "connection": "cache"' in printed
    seen = printed + json.dumps([state, result, home.get("agenttask,job,pod")])
    assert redis_password not in seen
    assert url not in seen


def test_a_missing_database_secret_is_named_with_its_command(home: Home) -> None:
    wanted = {"role": "DATA", "tools": {"connections": [CACHE]}}
    home.apply(task("no-keys", "Ask the database what to say.", **wanted))

    waiting = until(home, "no-keys", seconds=30, reason="ContainerConfigError")

    assert f"kubectl create secret generic cache-db -n {home.namespace}" in waiting["message"]
    assert "--from-literal=url=URL" in waiting["message"]


def test_http_reaches_what_class_and_task_both_name(home: Home) -> None:
    model = {"endpoint": f"http://{MODEL_HOST}", "name": REHEARSAL_MODEL}
    base = {"spec": {"model": model, "nats": {"url": NATS_URL}}}
    hosts = {"httpHosts": [f"private:*.{WHERE}.svc:8000"]}
    home.kubectl.apply(agent_class("with-http", base, tools=hosts))
    wanted = {"role": "QA", "output": {"mode": "None"}, "className": "with-http"}
    home.apply(task("ask", "Is the model well?", tools={"httpHosts": [MODEL_HOST]}, **wanted))
    home.apply(task("beyond", "Is it?", tools={"httpHosts": ["example.org"]}, **wanted))

    state = until(home, "ask", phase="Succeeded")

    assert state["operations"] == {"total": 2, "failed": 0, "denied": 1}
    assert [o["success"] for o in result_of(home, "ask")["operations"]] == [True, False]
    refused = until(home, "beyond", phase="Failed", reason="InvalidSpec")
    assert "spec.tools.httpHosts has 'example.org'" in refused["message"]


def test_without_an_engine_the_agent_starts_and_says_so(home: Home) -> None:
    home.apply(task("no-engine", HELLO, role="DEVOPS"))

    until(home, "no-engine", phase="Succeeded")

    assert NO_ENGINE in logs(home, "no-engine")
    thoughts = result_of(home, "no-engine")["reasoning_log"]
    assert NO_ENGINE in [thought["content"] for thought in thoughts]


def test_files_git_and_tests_hold_in_the_image_under_restricted(home: Home) -> None:
    home.apply(services.config_map("suites", {}, {"suites.tar": inpod.archive()}))
    home.apply(inpod.pod(images.PRODUCT[1].tag))

    def phase() -> str:
        found = str(home.get("pod", "suites").get("status", {}).get("phase", ""))
        return found if found in ("Succeeded", "Failed") else ""

    ended = eventually(phase, 240, "the suites to end")
    said = home.run("logs", "suites")
    assert ended == "Succeeded", said
    assert said.startswith("65532\n")
    passed = int(said.rpartition(" passed")[0].rsplit(maxsplit=1)[-1])
    assert passed > 200, said
