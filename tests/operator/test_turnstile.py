"""The turnstile: places are taken before Jobs are seen, and given on when Jobs end."""

import pytest
from tests.operator.builders import class_object, job_object, task_object

from agenttask_api.reasons import Reason
from agenttask_operator.cache import Cache
from agenttask_operator.observed import Key, parse_class, parse_job, parse_task
from agenttask_operator.turns import Limits, Obstacle
from agenttask_operator.turnstile import Turnstile

UNLIMITED = Limits()


class Timer:
    def __init__(self, function):
        self.function = function

    def cancel(self):
        self.function = None


class Scene:
    """A cache, a turnstile on it, and a clock that a test moves."""

    def __init__(self, limits=UNLIMITED, concurrent=10000):
        self.now = 0.0
        self.timers: list[Timer] = []
        self.woken: list[Key] = []
        self.cache = Cache()
        model = {"endpoint": "http://vllm", "maxConcurrentTasks": concurrent}
        self.cache.classes["standard"] = parse_class(class_object(model=model))
        self.turnstile = Turnstile(
            self.cache, limits, self.woken.append, self.schedule, lambda: self.now
        )

    def schedule(self, _seconds, function):
        self.timers.append(Timer(function))
        return self.timers[-1]

    def tick(self):
        self.now += 1
        due, self.timers = self.timers, []
        for timer in due:
            if timer.function:
                timer.function()

    def task(self, name, uid=None):
        obj = task_object()
        obj["metadata"] |= {"name": name, "uid": uid or f"uid-{name}"}
        task = parse_task(obj)
        self.cache.put_task(task)
        return task

    def job(self, task, version="11", **more):
        obj = job_object(**more)
        obj["metadata"]["name"] = f"job-{task.key.name}"
        obj["metadata"]["resourceVersion"] = version
        obj["metadata"]["labels"]["agenttask.dev/task"] = task.key.name
        obj["metadata"]["ownerReferences"][0]["uid"] = task.uid
        self.cache.put_job(parse_job(obj))
        self.turnstile.leave(task.key)


def test_place_is_taken_before_the_job_is_seen():
    scene = Scene(Limits(total=1))
    one, two = scene.task("one"), scene.task("two")
    assert scene.turnstile.ask(one).admitted
    assert not scene.turnstile.ask(two).admitted
    assert scene.turnstile.ask(one).admitted


def test_next_one_is_woken_when_a_job_ends():
    scene = Scene(Limits(total=1))
    one, two = scene.task("one"), scene.task("two")
    scene.turnstile.ask(one)
    scene.job(one)
    turn = scene.turnstile.ask(two)
    assert (turn.position, turn.waiting) == (1, 1)
    scene.job(one, "12", finished="Complete")
    scene.tick()
    assert scene.woken[-1] == two.key
    assert scene.turnstile.ask(two).admitted


def test_one_that_leaves_gives_its_place_on():
    scene = Scene(Limits(total=1))
    one, two = scene.task("one"), scene.task("two")
    scene.turnstile.ask(one)
    scene.turnstile.ask(two)
    scene.turnstile.leave(one.key)
    scene.tick()
    assert scene.turnstile.ask(two).admitted


def test_classs_limit_counts_jobs_at_work():
    scene = Scene(concurrent=1)
    one, two = scene.task("one"), scene.task("two")
    scene.job(one)
    turn = scene.turnstile.ask(two)
    assert turn.obstacle
    assert turn.obstacle.reason is Reason.MODEL_AT_CAPACITY
    assert scene.turnstile.running() == {"standard": 1}
    assert scene.turnstile.queued() == {"standard": 1}


def test_suspended_job_holds_no_place():
    scene = Scene(Limits(total=1))
    one = scene.task("one")
    obj = job_object()
    obj["spec"] = {"suspend": True}
    scene.cache.put_job(parse_job(obj))
    assert scene.turnstile.ask(one).admitted


def test_endpoint_that_opens_again_lets_all_through():
    scene = Scene()
    tasks = [scene.task(f"t{n}") for n in range(3)]
    obstacle = Obstacle(Reason.MODEL_UNAVAILABLE, "down")
    scene.turnstile.close({"http://vllm": obstacle})
    assert [scene.turnstile.ask(t).obstacle for t in tasks] == [obstacle] * 3
    scene.turnstile.close({})
    scene.tick()
    assert set(scene.woken) == {t.key for t in tasks}
    assert all(scene.turnstile.ask(t).admitted for t in tasks)


@pytest.mark.parametrize("count", [1500])
def test_many_that_ask_cost_few_decisions_and_none_is_forgotten(count):
    scene = Scene(Limits(total=200))
    tasks = [scene.task(f"t{n}") for n in range(count)]
    for task in tasks:
        scene.turnstile.ask(task)
    scene.tick()
    assert sum(scene.turnstile.ask(t).admitted for t in tasks) == 200
    assert scene.turnstile.queued()["standard"] == count - 200
