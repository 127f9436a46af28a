"""What the model is told first, and what it says of the requirements at the end."""

import pytest
from tests.agent.conftest import MakePod, call, make_document, script_of

from agenttask_agent.frame import Frame
from agenttask_agent.opening import MAX_LISTED_FILES, opening
from agenttask_api.spec import Role


def texts(**task: object) -> tuple[str, str]:
    system, user = opening(make_document(**task), Frame())
    return str(system["content"]), str(user["content"])


def test_rubric_and_requirements_are_in_the_prompt():
    constraints = {"rubric": "Readable code.", "requirements": ["No new files.", "Docs."]}
    _, user = texts(constraints=constraints)
    assert "1. No new files.\n2. Docs." in user
    assert "Readable code." in user


def test_without_them_nothing_is_said_of_them():
    _, user = texts()
    assert "Requirements" not in user
    assert "judged" not in user


@pytest.mark.parametrize("role", list(Role))
def test_every_role_has_a_persona_in_both_modes(role: Role):
    personas = {texts(role=role, constraints={"mode": m})[0].split("\n")[0] for m in MODES}
    assert len(personas) == 1
    assert personas != {texts(role="PO" if role != "PO" else "DEV")[0].split("\n")[0]}


MODES = ("Iterative", "Plan")


def test_a_planner_is_told_of_the_files_and_not_to_call_tools():
    document = make_document(constraints={"mode": "Plan"})
    system, user = opening(
        document, Frame(), files=[f"f{n}.py" for n in range(MAX_LISTED_FILES + 1)]
    )
    assert "f199.py\nand 1 more" in str(user["content"])
    assert "Call a tool" not in str(system["content"])


CLAIMS = [{"number": 1, "claim": "met"}, {"number": 3, "claim": "sure"}, {"number": 4}, 7]


def test_the_model_s_claims_are_in_the_report_and_the_rest_is_unknown(make_pod: MakePod):
    finish = call("finish", summary="done", requirements=CLAIMS)
    pod = make_pod(script_of(finish, finish), constraints={"requirements": ["a", "b", "c"]})
    pod.run()
    assert pod.door.report is not None
    found = [(r.text, r.claim) for r in pod.door.report.requirements]
    assert found == [("a", "met"), ("b", "unknown"), ("c", "unknown")]
    asked = pod.door.requests[0]["tools"][-1]["function"]["parameters"]
    assert asked["required"] == ["summary", "requirements"]


def test_a_task_without_requirements_is_not_asked_about_any(make_pod: MakePod):
    finish = call("finish", summary="done")
    pod = make_pod(script_of(finish, finish))
    pod.run()
    assert pod.door.report is not None
    assert pod.door.report.requirements == ()
    assert "requirements" not in str(pod.door.requests[0]["tools"][-1])
