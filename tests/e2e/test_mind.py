"""How the agent works, as a task asks for it: plans, requirements, profile and role."""

import json
from typing import Any

from tests.e2e.tasks import PYTEST, Home, agent_class, result_of, task, until

from agenttask_testbed import services
from agenttask_testbed.demo import NATS_URL, REHEARSAL_MODEL, WHERE

MODEL = {"endpoint": f"http://model.{WHERE}.svc:8000", "name": REHEARSAL_MODEL}
KINDS = {"analysis", "decision", "action", "observation", "conclusion", "error"}


def from_config_map(name: str, **spec: Any) -> dict[str, Any]:
    """Return a task whose prompt and context are in a ConfigMap."""
    found = task(name, "", **spec)
    del found["spec"]["prompt"]
    found["spec"]["promptFrom"] = {"configMapKeyRef": {"name": "texts", "key": "prompt"}}
    found["spec"]["contextFrom"] = [{"configMapKeyRef": {"name": "texts", "key": "notes"}}]
    return found


def test_plans_requirements_and_profile_are_honoured(home: Home) -> None:
    model = MODEL | {"profile": "Large", "roles": {"DATA": {"maxTokens": 1234}}}
    base = {"spec": {"model": model, "nats": {"url": NATS_URL}}}
    home.kubectl.apply(agent_class("driven", base))
    plan = {"mode": "Plan", "onError": "Skip"}
    wanted = {"requirements": ["It returns a text.", "It is fast."], "rubric": "Small is good."}
    read_only = {"mode": "Plan", "readOnly": True}
    home.apply(
        task("skips", "Plan the greeting and skip.", constraints=plan, verify=[PYTEST]),
        task(
            "plans",
            "Only plan the greeting.",
            constraints=read_only,
            role="DATA",
            className="driven",
            output={"mode": "None"},
        ),
        from_config_map("meets", constraints=wanted, contextTokens=30),
    )
    until(home, "meets", phase="Pending", reason="ReferenceNotFound")
    texts = {"prompt": "Meet the requirements.", "notes": "first\n" * 100}
    home.apply(services.config_map("texts", texts))

    skipped = until(home, "skips", phase="Succeeded", verdict="Verified")
    planned = until(home, "plans", phase="Succeeded", verdict="NoChange")
    until(home, "meets", phase="Succeeded")

    assert skipped["operations"] == {"total": 2, "failed": 1, "denied": 0}
    assert skipped["artifacts"]["filesChanged"] == ["utils.py"]
    result = result_of(home, "skips")
    assert [s["operation"] for s in result["plan"]["steps"]] == ["read_file", "append_file"]
    assert {t["type"] for t in result["reasoning_log"]} <= KINDS
    assert (result["model"]["profile"], result["model"]["way"]) == ("Large", "Plan")
    assert result["model"]["capabilities"]["structured_output"] is True

    assert planned.get("operations", {}).get("total", 0) == 0
    result = result_of(home, "plans")
    assert result["operations"] == []
    assert [s["operation"] for s in result["plan"]["steps"]] == ["append_file"]
    assert "1. files.append_file" in result["summary"]
    assert result["model"]["profile"] == "Large"

    claims = [(r["text"], r["claim"]) for r in result_of(home, "meets")["requirements"]]
    assert claims == [("It returns a text.", "met"), ("It is fast.", "unmet")]
    document = json.dumps(home.get("job", "-l", "agenttask.dev/task=meets"))
    assert "## ConfigMap texts, notes" in document
    assert "context cut at spec.contextTokens" in document
    assert "1234" in json.dumps(home.get("job", "-l", "agenttask.dev/task=plans"))


def test_a_small_model_is_driven_by_bounded_questions(home: Home) -> None:
    base = {"spec": {"model": MODEL | {"profile": "Small"}, "nats": {"url": NATS_URL}}}
    home.kubectl.apply(agent_class("small", base))
    prompt = 'As a small model: add hello_world() to utils.py. It returns "Hello, World!".'
    home.apply(task("small", prompt, className="small", verify=[PYTEST]))

    state = until(home, "small", phase="Succeeded", verdict="Verified")

    assert state["artifacts"]["filesChanged"] == ["utils.py"]
    use = result_of(home, "small")["model"]
    assert (use["profile"], use["way"]) == ("Small", "Questions")
