"""What the API server refuses, and that it says what to do instead."""

from pathlib import Path

import pytest
from tests.e2e.apiobjects import DRY, Kubectl, agent_class, refusal, task

pytestmark = pytest.mark.e2e

EXAMPLE_CLASS = Path(__file__).parents[2] / "examples" / "agentclass.yaml"
STEP = {"name": "unit", "run": ["make", "test"]}
BOTH = {"taskRef": {"name": "a"}, "configMapKeyRef": {"name": "b", "key": "c"}}
LONGEST = "a" * 52

GOOD_TASKS = {
    "the longest name": task(LONGEST),
    "prompt from a ConfigMap": task(
        prompt=None, promptFrom={"configMapKeyRef": {"name": "p", "key": "text"}}
    ),
    "ssh with a user": task(repo={"url": "ssh://git@git.example:2222/team/x.git"}),
    "an @ in the path of the URL": task(repo={"url": "https://git.example/@team/x.git"}),
    "a folder with dots in its name": task(repo={"path": "src/..hidden/a..b"}),
    "a tag with dots": task(repo={"revision": "v1.2.3"}),
    "a branch with a slash": task(output={"branch": "agents/fix-12.x"}),
    "two of three agents": task(agents={"count": 3, "success": "AtLeast", "atLeast": 2}),
    "deliberation of two": task(agents={"count": 2}, deliberation={"rounds": 1}),
    "one context of each kind": task(
        contextFrom=[
            {"configMapKeyRef": {"name": "c", "key": "k"}},
            {"taskRef": {"name": "other"}},
        ]
    ),
    "skipped steps of a plan": task(constraints={"onError": "Skip", "mode": "Plan"}),
    "an ordinary variable": task(env=[{"name": "LDAP_PATH", "value": "x"}]),
    "cpu as a number": task(limits={"resources": {"limits": {"cpu": 2, "memory": "1Gi"}}}),
}


@pytest.mark.parametrize("text", GOOD_TASKS.values(), ids=GOOD_TASKS.keys())
def test_good_task_is_accepted(kubectl: Kubectl, namespace: str, text: str) -> None:
    assert "created" in kubectl("create", DRY, "-n", namespace, "-f", "-", input=text)


def bad_url(url: str) -> str:
    return task(repo={"url": url})


BAD_TASKS = {
    "a long name": (task(LONGEST + "a"), "at most 52 characters"),
    "a name with a dot": (task("fix.12"), "use a-z, 0-9 and - only"),
    "an unknown role": (task(role="BOSS"), "spec.role"),
    "neither prompt": (task(prompt=None), "exactly one of prompt and promptFrom"),
    "both prompts": (
        task(promptFrom={"configMapKeyRef": {"name": "p", "key": "text"}}),
        "exactly one of prompt and promptFrom",
    ),
    "password in the URL": (bad_url("https://u:token@git.example/x"), "repo.credentialsRef"),
    "user in the URL": (bad_url("https://token@git.example/x"), "repo.credentialsRef"),
    "hidden user in the URL": (bad_url("https://a\\@git.example/x"), "repo.credentialsRef"),
    "password in an ssh URL": (bad_url("ssh://git:pw@git.example/x"), "repo.credentialsRef"),
    "an option for a host": (bad_url("ssh://-oProxyCommand=x/y"), "host must not begin"),
    "another scheme": (bad_url("file:///etc"), "spec.repo.url"),
    "path to the root": (task(repo={"path": "/etc"}), "relative to the repository's root"),
    "path out of the repository": (task(repo={"path": "a/../.."}), "without .."),
    "a range of revisions": (task(repo={"revision": "main..dev"}), "remove the .."),
    "a full ref as branch": (task(output={"branch": "refs/heads/x"}), "without refs/heads/"),
    "HEAD as branch": (task(output={"branch": "HEAD"}), "without refs/heads/"),
    "dots in a branch": (task(output={"branch": "a..b"}), "branch name that git accepts"),
    "a lock as branch": (task(output={"branch": "a.lock"}), "branch name that git accepts"),
    "a branch that ends in a slash": (task(output={"branch": "a/"}), "that git accepts"),
    "AtLeast of nothing": (task(agents={"success": "AtLeast"}), "set agents.atLeast together"),
    "atLeast for nothing": (task(agents={"atLeast": 1}), "leave it out otherwise"),
    "more than all": (
        task(agents={"count": 2, "success": "AtLeast", "atLeast": 3}),
        "lower it, or raise count",
    ),
    "one agent among itself": (task(deliberation={"rounds": 1}), "agents.count to at least 2"),
    "skipped steps without a plan": (
        task(constraints={"onError": "Skip"}),
        "set constraints.mode to Plan",
    ),
    "an empty context": (task(contextFrom=[{}]), "exactly one of configMapKeyRef and taskRef"),
    "a double context": (
        task(contextFrom=[BOTH]),
        "exactly one of configMapKeyRef and taskRef",
    ),
    "PATH": (task(env=[{"name": "PATH", "value": "/evil"}]), "use another name"),
    "LD_PRELOAD": (task(env=[{"name": "LD_PRELOAD", "value": "x"}]), "use another name"),
    "a step named twice": (task(verify=[STEP, STEP]), "Duplicate value"),
    "a negative quantity": (task(limits={"workspaceSize": -1}), "spec.limits.workspaceSize"),
    "a bad quantity": (task(limits={"workspaceSize": "much"}), "spec.limits.workspaceSize"),
}


@pytest.mark.parametrize(("text", "advice"), BAD_TASKS.values(), ids=BAD_TASKS.keys())
def test_bad_task_is_refused_with_advice(
    kubectl: Kubectl, namespace: str, text: str, advice: str
) -> None:
    assert advice in refusal(kubectl, "create", DRY, "-n", namespace, "-f", "-", stdin=text)


TOOLCHAINS = [{"name": "python"}, {"name": "go"}]


def with_engine(host: str, *images: str) -> str:
    chain = {"name": "c", "dockerHost": host, "dockerImages": [*images]}
    return agent_class(toolchains=[chain])


GOOD_CLASSES = {
    "a default toolchain": agent_class(toolchains=TOOLCHAINS, defaultToolchain="go"),
    "settings by role": agent_class(model={"roles": {"QA": {"temperature": 0.5}}}),
    "a hole by address": agent_class(egress=[{"cidr": "10.1.0.0/16", "ports": [443]}]),
    "a hole by namespace": agent_class(egress=[{"namespaceSelector": {"matchLabels": {"a": "b"}}}]),
    "a NATS": agent_class(nats={"url": "tls://nats.example:4222"}),
    "an engine": with_engine("tcp://engine.build.svc:2375", "docker.io/library/*", "*"),
    "an engine by address": with_engine("tcp://[fd00::1]:2375"),
}
BAD_CLASSES = {
    "unknown default toolchain": (
        agent_class(toolchains=TOOLCHAINS, defaultToolchain="rust"),
        "one of toolchains",
    ),
    "key in the endpoint": (
        agent_class(model={"endpoint": "https://key@vllm.example"}),
        "model.apiKeySecretRef",
    ),
    "endpoint with /v1": (agent_class(model={"endpoint": "http://vllm/v1/"}), "without /v1"),
    "unknown role": (agent_class(model={"roles": {"BOSS": {}}}), "use DEV, QA"),
    "an empty hole": (agent_class(egress=[{}]), "exactly one of cidr and namespaceSelector"),
    "a double hole": (
        agent_class(egress=[{"cidr": "10.0.0.0/8", "namespaceSelector": {}}]),
        "exactly one of cidr and namespaceSelector",
    ),
    "a bad range": (agent_class(egress=[{"cidr": "10.0.0"}]), "write it like 10.1.0.0/16"),
    "images without an engine": (with_engine("", "docker.io/library/*"), "name it in dockerHost"),
    "an engine by ssh": (with_engine("ssh://root@engine"), "dockerHost"),
    "an image that is none": (with_engine("tcp://e:1", "--privileged"), "dockerImages[0]"),
    "password for NATS": (agent_class(nats={"url": "nats://u:p@nats"}), "nats.credsSecretRef"),
}


@pytest.mark.parametrize("text", GOOD_CLASSES.values(), ids=GOOD_CLASSES.keys())
def test_good_class_is_accepted(kubectl: Kubectl, text: str) -> None:
    assert "created" in kubectl("create", DRY, "-f", "-", input=text)


@pytest.mark.parametrize(("text", "advice"), BAD_CLASSES.values(), ids=BAD_CLASSES.keys())
def test_bad_class_is_refused_with_advice(kubectl: Kubectl, text: str, advice: str) -> None:
    assert advice in refusal(kubectl, "create", DRY, "-f", "-", stdin=text)


def test_example_class_is_accepted(kubectl: Kubectl) -> None:
    told = kubectl("apply", DRY, "--validate=strict", "-f", str(EXAMPLE_CLASS))
    assert "agentclass.agenttask.dev/" in told


@pytest.mark.parametrize("text", [task(promt="misspelt"), task(repo={"ulr": "x"})])
def test_unknown_field_is_refused(kubectl: Kubectl, namespace: str, text: str) -> None:
    args = ("create", DRY, "--validate=strict", "-n", namespace, "-f", "-")
    assert "unknown field" in refusal(kubectl, *args, stdin=text)
