"""A failure that the base has, too, is no fault of the change; anything else is."""

import sys
from dataclasses import replace

import pytest
from tests.courier.conftest import MakeDocument, Origin, git, write_files
from tests.courier.pod import Pod, running_pod
from tests.courier.test_run import ENV, FIX, outcome
from tests.servers.vllm import VLLM

from agenttask_api.status import TestCounts as Counts
from agenttask_api.taskdocument import TaskDocument
from agenttask_api.verification import StepResult, Verification
from agenttask_courier.comparison import Checked, comparable, compared
from agenttask_courier.junit import Cases
from agenttask_courier.places import Places


def checked(exit_code: int | None, passed: str = "", failed: str = "", **other: int) -> Checked:
    """Return what step `t` said, its tests named by letters; other steps by their exit codes."""
    codes: dict[str, int | None] = {"t": exit_code, **other}
    steps = tuple(StepResult(name=name, exit_code=code) for name, code in codes.items())
    cases = Cases(Counts(), frozenset(passed), frozenset(failed))
    verification = Verification(passed=not any(codes.values()), steps=steps, message="t failed")
    return Checked(verification, "", steps, {"t": cases} if passed or failed else {})


SOME = Cases(Counts(), frozenset("a"), frozenset("b"))


@pytest.mark.parametrize(
    ("candidate", "can"),
    [
        (checked(1, "a", "b"), True),
        (checked(0, "a"), False),
        (checked(1), False),
        (checked(None, "a", "b"), False),
        (checked(1, "a", "b", lint=1), False),
        (replace(checked(1, "a", "b"), failed_setup="deps"), False),
        (replace(checked(1, "a", "b"), cases={"t": replace(SOME, whole=False)}), False),
    ],
    ids=["tests failed", "nothing failed", "no test is named", "it was killed",
         "another step failed, too", "setup failed", "too many to name"],
)  # fmt: skip
def test_when_the_base_could_excuse_it(candidate: Checked, can: bool):
    assert comparable(candidate) is can


@pytest.mark.parametrize(
    ("candidate", "base", "said"),
    [
        pytest.param(checked(1, "ac", "b"), checked(1, "a", "bc"), "", id="one of two is mended"),
        pytest.param(checked(1, "ac", "b"), checked(1, "a", "b"), "", id="a new test passes"),
        pytest.param(
            checked(1, "a", "b", build=0), checked(1, "a", "b", build=2), "", id="it builds again"
        ),
        pytest.param(
            checked(1, "a", "b"), checked(1, "a", "b"), "the same fails on the base", id="no-op"
        ),
        pytest.param(checked(1, "b", "a"), checked(1, "a", "b"), "base: a", id="one for another"),
        pytest.param(checked(1, "c", "b"), checked(1, "a", "b"), "base: a", id="a test is gone"),
        pytest.param(checked(1, "ac", "b"), checked(0, "ab"), "base: b", id="the base is good"),
        pytest.param(
            checked(2, "ac", "b"), checked(1, "a", "bc"), "exit code 1", id="another exit code"
        ),
        pytest.param(checked(1, "a", "b"), checked(1), "names no tests", id="the base tells none"),
        pytest.param(checked(1, "", "abcde"), checked(0, "abcde"), "a, b, c and 2 more", id="many"),
    ],
)
def test_what_the_base_says(candidate: Checked, base: Checked, said: str):
    verification = compared(candidate, base)
    assert verification.passed is (said == "")
    assert said in verification.message
    if verification.passed:
        assert verification.known_failures == ("b",)
        assert (verification.message, verification.new_failures) == ("", ())


def test_names_of_tests_do_not_reach_a_terminal():
    name = "x\u202e\n::y"
    ours = replace(checked(1), cases={"t": Cases(Counts(), frozenset(), frozenset([name]))})
    verification = compared(ours, checked(0, "a"))
    assert verification.new_failures == ("a", "x ::y")
    assert verification.message.isprintable()


FLAKY = "def test_known():\n    assert False\n"
"""A test that fails on the base for a reason of its own."""
CHECK = {
    "name": "tests",
    "run": [sys.executable, "-m", "pytest", "-q", "tests"],
    "timeoutSeconds": 60,
}


@pytest.fixture
def broken(origin: Origin) -> Origin:
    """The project with a second test that fails."""
    write_files(origin.work, {"tests/test_known.py": FLAKY})
    git(origin.work, "add", ".")
    git(origin.work, "commit", "-qm", "known")
    git(origin.work, "push", "-q", "origin", "HEAD:main")
    return origin


async def delivered(places: Places, document: TaskDocument, url: str, files: dict[str, str]) -> Pod:
    async with running_pod(places, document, url) as pod:
        await pod.agent.attach()
        pod.agent.commit(files)
        await pod.agent.hand_in()
        await pod.agent.receipt()
    return pod


async def test_a_known_failure_does_not_reject(
    places: Places, broken: Origin, make_document: MakeDocument, vllm: VLLM
):
    pod = await delivered(places, make_document(verify=[CHECK], env=ENV), vllm.url, FIX)
    assert outcome(pod) == ("Succeeded", "Completed", "Verified")
    assert pod.digest().tests == (1, 1, 0)
    assert (pod.digest().gate, pod.digest().rigor, pod.digest().score) == ("Warn", "L2", 100)
    verification = pod.courier.judge.evidence.verification
    assert verification
    assert verification.known_failures == ("tests.test_known::test_known",)
    assert broken.has("agenttask/fix-add")
    assert not list(places.checkout.iterdir())


async def test_a_new_failure_rejects_and_is_named(
    places: Places, broken: Origin, make_document: MakeDocument, vllm: VLLM
):
    document = make_document(verify=[CHECK], env=ENV, protect=[])
    worse = {**FIX, "tests/test_new.py": "def test_new():\n    assert 0\n"}
    pod = await delivered(places, document, vllm.url, worse)
    assert outcome(pod) == ("Failed", "VerificationFailed", "Rejected")
    assert "not so on the base: tests.test_new::test_new" in pod.digest().message
    assert pod.digest().gate == "Block"
    assert not broken.has("agenttask/fix-add")


@pytest.mark.parametrize("asked", [True, False])
async def test_what_the_checks_rejected_is_pushed_only_where_asked(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM, asked: bool
):
    output = {"mode": "Branch", "pushOnFailure": asked}
    check = {"name": "no", "run": ["false"]}
    pod = await delivered(places, make_document(verify=[check], output=output), vllm.url, FIX)
    assert outcome(pod) == ("Failed", "VerificationFailed", "Rejected")
    assert origin.has("agenttask/fix-add") is asked
    assert ("pushed all the same" in pod.digest().message) is asked
    assert pod.digest().branch == ("agenttask/fix-add" if asked else "")


async def test_a_rejected_change_is_not_pushed_onto_a_branch_that_moved(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    output = {"mode": "Branch", "pushOnFailure": True}
    check = {"name": "no", "run": ["false"]}
    async with running_pod(places, make_document(verify=[check], output=output), vllm.url) as pod:
        await pod.agent.attach()
        theirs = origin.push_from_elsewhere("agenttask/fix-add")
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        await pod.agent.receipt()
        assert outcome(pod) == ("Failed", "VerificationFailed", "Rejected")
    assert "not pushed: branch agenttask/fix-add has changed" in pod.digest().message
    assert origin.commit("agenttask/fix-add") == theirs


async def test_what_policy_denies_is_not_pushed_although_asked(
    places: Places, origin: Origin, make_document: MakeDocument, vllm: VLLM
):
    output = {"mode": "Branch", "pushOnFailure": True}
    denied = {**FIX, ".github/workflows/x.yml": "on: push\n"}
    pod = await delivered(places, make_document(output=output), vllm.url, denied)
    assert outcome(pod) == ("Failed", "PolicyDenied", "Rejected")
    assert not origin.has("agenttask/fix-add")
