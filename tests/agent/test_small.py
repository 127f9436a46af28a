"""The small profile: what it reads out of a task, how it makes edits, how it ends."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.agent.conftest import MakeTools, make_document

from agenttask_agent.frame import Frame
from agenttask_agent.limits import Budget, Limits
from agenttask_agent.outcome import Outcome
from agenttask_agent.results import ToolResult
from agenttask_agent.small import decide, formats, pysource
from agenttask_agent.small.bench import EXAMPLES
from agenttask_agent.small.entry import SmallWorker
from agenttask_agent.small.formats import Item
from agenttask_agent.small.rename import rename
from agenttask_agent.small.runners import UNRUNNABLE, Runner, choose_runners, failing
from agenttask_agent.small.words import read_words
from agenttask_agent.workers import Job, choose_way, choose_worker
from agenttask_api.agentclass import Profile
from agenttask_api.reasons import Reason
from agenttask_api.result import Capabilities
from agenttask_api.spec import Command

SOURCE = """import math


def area(radius):
    return math.pi * radius**2


class Stack:
    def push(self, item):
        self.items = [item]

    def pop(self):
        return self.items.pop()
"""
CALC = {
    "calc.py": "def add(a, b):\n    return a - b\n",
    "tests/test_calc.py": "from calc import add\n\n\ndef test_add():\n    assert add(2, 2) == 4\n",
}


def test_a_tasks_text_gives_names_signatures_and_examples():
    words = read_words(
        "Add clamp(x, low, high) to lib/utils.py."
        ' clamp(9, 0, 5) == 5; clamp("a") raises ValueError.'
    )
    assert words.paths == ("lib/utils.py",)
    assert words.names == ("clamp",)
    assert words.signatures == (("clamp", "clamp(x, low, high)"),)
    assert words.examples[0] == ("clamp", "assert clamp(9, 0, 5) == 5")
    assert words.examples[1][1].startswith("with pytest.raises(ValueError):")


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("Rename the function foo to bar everywhere", ("foo", "bar")),
        ("rename `a_b()` to `c_d`", ("a_b", "c_d")),
        ("Name it well", None),
    ],
)
def test_a_rename_is_recognised(task: str, expected: tuple[str, str] | None):
    assert read_words(task).rename == expected


def test_rename_leaves_longer_words_and_unknown_files():
    assert rename("a.py", "foo = foo_bar(foo)", "foo", "x") == "x = foo_bar(x)"
    assert rename("a.bin", "foo", "foo", "x") == "foo"


def test_an_answer_continues_a_symbol_in_its_place():
    item = Item("symbol", "a.py", "area")
    question = formats.question(item, SOURCE, "Make it exact.")
    assert question.prefill.endswith("import math\n\n\ndef area")
    made = formats.apply(item, SOURCE, "(r):\n    return r\n\n\ndef other():\n    pass\n")
    assert made == SOURCE.replace("(radius):\n    return math.pi * radius**2", "(r):\n    return r")


def test_an_answer_continues_a_class_with_a_method():
    item = Item("method", "a.py", "Stack.peek", "peek()")
    made = formats.apply(item, SOURCE, "(self):\n        return self.items[-1]\n")
    assert made is not None
    assert "\n    def peek(self):\n        return self.items[-1]\n" in made
    assert pysource.lost(SOURCE, made) == set()


def test_a_missing_standard_import_is_added():
    made = formats.apply(
        Item("append", "a.py", "f", "f(x)"), '"""Doc."""\n', ":\n    return re.escape(x)\n"
    )
    assert made == '"""Doc."""\nimport re\n\n\ndef f(x):\n    return re.escape(x)\n'


@pytest.mark.parametrize("answer", ["```python\nx = 1\n```", "x = 1\n", "<think>hm</think>x = 1"])
def test_a_whole_file_is_read_with_and_without_its_fence(answer: str):
    assert formats.apply(Item("whole", "a.py"), "", answer) == "x = 1\n"


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (SOURCE + "\n", "changes nothing"),
        ("def area(:\n", "not valid py"),
        (SOURCE.split("class")[0] + "X = 1\n", "drops Stack"),
        (SOURCE.replace("radius**2", "radius * radius"), ""),
    ],
)
def test_objections_before_anything_is_tried(new: str, why: str):
    found = decide.objection("a.py", SOURCE, new, may_remove=False)
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("task", "leave"),
    [
        ("Add clamp() and tests for it.", True),
        ("Write a test for area().", True),
        ("Update the tests in tests/test_a.py to the new name.", True),
        ("Fix the failing test.", False),
        ("Fix add() so that all tests pass.", False),
        ("Change area() until the tests pass.", False),
        ("Change add() to subtract, and make the tests pass.", False),
        ("Update add(); keep the tests green.", False),
    ],
)
def test_leave_to_edit_tests_is_said_not_guessed(task: str, leave: bool):
    assert read_words(task).wants_tests is leave


RUN_PYTEST = ["python3", "-m", "pytest", "-q"]


@pytest.mark.parametrize(
    ("paths", "start", "verify", "operations"),
    [
        pytest.param(["a.py", "tests/test_a.py"], "", [], ["tests_pytest"], id="python"),
        pytest.param(["a.py"], "", [], [], id="nothing to run"),
        pytest.param(["go.mod", "x.go"], "", [], ["tests_go_test"], id="go"),
        pytest.param(["app/Cargo.toml"], "app", [], ["tests_cargo_test"], id="a folder's"),
        pytest.param(["app/Cargo.toml"], "", [], [], id="another folder's"),
        pytest.param(["package.json"], "", [], [], id="a script nobody named"),
        pytest.param(["package.json"], "", [["npm", "test"]], ["tests_npm_test"], id="npm"),
        pytest.param(
            ["go.mod", "Makefile"], "", [["make", "check"]], ["tests_make_test"], id="make"
        ),
        pytest.param(["tests/test_a.py"], "", [["./ci.sh"]], ["tests_pytest"], id="a script"),
        pytest.param(["go.mod"], "", [RUN_PYTEST, RUN_PYTEST], ["tests_pytest"], id="named twice"),
    ],
)
def test_runners_are_those_of_verify_else_of_the_project(
    paths: list[str], start: str, verify: list[list[str]], operations: list[str]
):
    steps = [Command(name=f"s{n}", run=tuple(run)) for n, run in enumerate(verify)]
    assert [r.operation for r in choose_runners(paths, start, steps)] == operations


def test_failures_are_told_apart_by_name_where_the_runner_has_names():
    def result(output: str = "", error: str = "x", **metadata: Any) -> ToolResult:
        return ToolResult(False, "tests.x", output, error=error, metadata=metadata)

    go, npm = Runner("tests_go_test"), Runner("tests_npm_test")
    assert failing(go, result("--- FAIL: TestA (0.0s)\n    --- FAIL: TestA/b\n")) == {
        "TestA",
        "TestA/b",
    }
    assert failing(npm, result(tests={"failed": 2})) == {"tests_npm_test 0", "tests_npm_test 1"}
    assert failing(go, result("no go files")) == {UNRUNNABLE}
    assert failing(go, result(error="not available: go is not installed")) == frozenset()


def test_tests_are_no_targets_unless_asked_for():
    paths = ["a.py", "tests/test_a.py"]
    assert decide.named_targets(read_words("Look at tests/test_a.py and fix a.py"), paths) == [
        "a.py"
    ]
    asked = read_words("Add a test to tests/test_a.py")
    assert decide.named_targets(asked, paths) == ["tests/test_a.py"]


@dataclass
class Answers:
    """A model that gives prepared texts, the last one for ever."""

    texts: list[str]
    requests: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}

    def reply(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("the small profile asks with requests of its own")


@dataclass
class Log:
    """A recorder that keeps the reasoning."""

    entries: list[tuple[int, str, str]] = field(default_factory=list)

    def message(self, *_: Any) -> None:
        return

    def thought(self, iteration: int, type_: str, content: str, *_: Any, **__: Any) -> None:
        self.entries.append((iteration, type_, content))


@pytest.fixture
def run_small(make_tools: MakeTools):
    """Run the small profile on a repository with prepared answers."""

    def run(
        task: str,
        answers: Answers,
        files: dict[str, str] = CALC,
        replies: int = 10,
        **spec: Any,
    ) -> tuple[Outcome, Path]:
        tools = make_tools(files)
        document = make_document(prompt=task, **spec)
        budget = Budget(Limits(replies=replies, operations=100, tokens=100_000))
        able = Capabilities(model="m", context_window=8192)
        job = Job(document, answers, tools.toolbox, Log(), budget, tools.root, able, Frame())
        outcome = SmallWorker(job).run([])
        assert not (tools.root / EXAMPLES).exists()
        return outcome, tools.root

    return run


def test_a_failing_test_is_fixed(run_small):
    outcome, root = run_small(
        "`add` in calc.py is wrong.", Answers(["(a, b):\n    return a + b\n"])
    )
    assert outcome.reason is Reason.COMPLETED
    assert (root / "calc.py").read_text() == "def add(a, b):\n    return a + b\n"


def test_the_first_answer_that_the_tests_like_wins(run_small):
    answers = Answers(["(a, b):\n    return a * 3\n", "(a, b):\n    return a + b\n"])
    outcome, root = run_small("`add` in calc.py is wrong.", answers)
    assert outcome.reason is Reason.COMPLETED
    assert [request["n"] for request in answers.requests] == [1, 4]


def test_an_answer_that_does_not_help_is_no_success(run_small):
    outcome, _ = run_small("`add` in calc.py is wrong.", Answers(["(a, b):\n    return a * 3\n"]))
    assert outcome.reason is Reason.VERIFICATION_FAILED
    assert "1 visible tests failing" in outcome.message


def test_nonsense_changes_nothing_and_says_so(run_small):
    outcome, root = run_small("`add` in calc.py is wrong.", Answers(["%%% not code"]))
    assert outcome.reason in (Reason.NO_CHANGE, Reason.MODEL_MISUNDERSTOOD)
    assert (root / "calc.py").read_text() == CALC["calc.py"]


def test_what_is_already_there_is_known_by_its_examples(run_small):
    files = CALC | {"calc.py": "def add(a, b):\n    return a + b\n"}
    answers = Answers(["never asked"])
    outcome, _ = run_small("Add add(a, b) to calc.py. add(2, 3) == 5.", answers, files)
    assert outcome.reason is Reason.NO_CHANGE
    assert answers.requests == []


@pytest.mark.parametrize("replies", [1, 2])
def test_a_limit_ends_the_run_by_its_name(run_small, replies: int):
    wrong = Answers(["(a, b):\n    return a * 3\n"])
    outcome, _ = run_small("`add` in calc.py is wrong.", wrong, replies=replies)
    assert outcome.reason is Reason.ITERATION_LIMIT
    assert len(wrong.requests) == replies


def test_a_rename_needs_no_model(run_small):
    files = CALC | {"use.py": "from calc import add\n\nTOTAL = add(1, 2)\n"}
    files["tests/test_calc.py"] = (
        "from use import TOTAL\n\n\ndef test_total():\n    assert TOTAL == -1\n"
    )
    answers = Answers(["never asked"])
    outcome, root = run_small("Rename the function add to minus.", answers, files)
    assert outcome.reason is Reason.COMPLETED
    assert "minus(1, 2)" in (root / "use.py").read_text()


@pytest.mark.parametrize(("read_only", "small"), [(False, True), (True, False)])
def test_the_profile_chooses_the_worker(make_tools: MakeTools, read_only: bool, small: bool):
    tools = make_tools(CALC)
    document = make_document(constraints={"readOnly": read_only})
    budget = Budget(Limits(replies=1, operations=1, tokens=1))
    able = Capabilities(model="m")
    job = Job(document, Answers([""]), tools.toolbox, Log(), budget, tools.root, able, Frame())
    way = choose_way(document, Profile.SMALL)
    assert isinstance(choose_worker(job, way), SmallWorker) == small


MADE = {
    "Makefile": "check:\n\t@grep -q 'a + b' formula.txt\n",
    "formula.txt": "add: a - b\n",
}
MAKE_CHECK = {"name": "check", "run": ["make", "check"]}


@pytest.mark.parametrize(("sign", "right"), [("+", True), ("/", False)])
def test_a_project_without_python_is_judged_by_what_verify_names(run_small, sign: str, right: bool):
    answer = MADE["formula.txt"].replace("-", sign)
    outcome, root = run_small(
        "Correct formula.txt.", Answers([answer]), MADE, replies=1, verify=[MAKE_CHECK]
    )
    assert (outcome.reason is Reason.COMPLETED) is right, outcome.message
    assert ((root / "formula.txt").read_text() == answer) >= right
