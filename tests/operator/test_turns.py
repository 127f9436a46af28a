"""Whose turn it is: limits hold, nobody starves, nobody waits for nothing."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.reasons import Reason
from agenttask_operator.observed import Key
from agenttask_operator.turns import (
    Busy,
    Limits,
    Obstacle,
    Places,
    Turn,
    Waiting,
    decide_turns,
    spell_turn,
)

URL = "http://vllm"
DOWN = Obstacle(Reason.MODEL_UNAVAILABLE, "down")


def waiting(space, name, priority=0, since=0.0, endpoint=URL, limit=10000):
    return Waiting(Key(space, str(name)), "c", endpoint, limit, priority, since)


def busy(space, name, endpoint=URL):
    return Busy(Key(space, f"busy-{name}"), "c", endpoint)


def admitted(turns):
    return {key for key, turn in turns.items() if turn.admitted}


def names(turns):
    return [key.name for key in turns if turns[key].admitted]


def test_without_limits_everybody_starts():
    turns = decide_turns([waiting("a", n) for n in range(50)], Places(), Limits(), {})
    assert len(admitted(turns)) == 50


def test_priority_then_age_within_a_namespace():
    tasks = [waiting("a", "old", 0, 1), waiting("a", "new", 0, 9), waiting("a", "urgent", 5, 99)]
    turns = decide_turns(tasks, Places(), Limits(total=2), {})
    assert names(turns) == ["urgent", "old"]
    assert turns[Key("a", "new")].position == 1


def test_five_thousand_tasks_of_one_tenant_do_not_delay_anothers_one():
    flood = [waiting("flood", n, priority=1000, since=n) for n in range(5000)]
    one = waiting("quiet", "one", since=9999.0)
    runs = [busy("flood", n) for n in range(10)]
    full = decide_turns([*flood, one], Places(runs), Limits(total=10), {})
    assert full[one.key].position == 1
    freed = decide_turns([*flood, one], Places(runs[1:]), Limits(total=10), {})
    assert admitted(freed) == {one.key}


def test_full_endpoint_holds_up_only_its_own_tasks():
    tasks = [waiting("a", 1, limit=1), waiting("a", 2, endpoint="http://other", limit=1)]
    turns = decide_turns(tasks, Places([busy("b", 1)]), Limits(), {})
    assert admitted(turns) == {Key("a", "2")}
    held = turns[Key("a", "1")].obstacle
    assert held
    assert held.reason is Reason.MODEL_AT_CAPACITY


def test_endpoint_that_is_down_takes_nobody():
    turns = decide_turns([waiting("a", 1)], Places(), Limits(), {URL: DOWN})
    assert turns[Key("a", "1")] == Turn(DOWN, 1, 1)


def test_namespace_limit_holds_up_only_its_own_tasks():
    tasks = [waiting("a", 1), waiting("b", 1)]
    turns = decide_turns(tasks, Places([busy("a", 1)]), Limits(namespace=1), {})
    assert admitted(turns) == {Key("b", "1")}


def test_places_far_behind_are_rounded():
    words = [
        spell_turn(Turn(Obstacle(Reason.QUEUED, "full"), n, 4321)) for n in (1, 10, 11, 44, 251)
    ]
    places = [w.split("place ")[1].split(" of")[0] for w in words]
    assert places == ["1", "10", "about 10", "about 40", "about 300"]
    assert "of about 4000" in words[0]


WAITING = st.lists(
    st.builds(
        waiting,
        st.sampled_from("abc"),
        st.integers(0, 1000),
        st.integers(0, 3),
        st.floats(0, 100),
        st.sampled_from([URL, "http://b"]),
        st.integers(1, 4),
    ),
    max_size=25,
    unique_by=lambda w: w.key,
)
BUSY = st.lists(
    st.builds(busy, st.sampled_from("abc"), st.integers(0, 50), st.sampled_from([URL, "http://b"])),
    max_size=8,
    unique_by=lambda b: b.key,
)
LIMITS = st.builds(Limits, st.integers(0, 8), st.integers(0, 4))


@given(WAITING, BUSY, LIMITS)
def test_limits_hold_and_no_place_stays_empty_for_nothing(tasks, runs, limits):
    turns = decide_turns(tasks, Places(runs), limits, {})
    assert set(turns) == {t.key for t in tasks}
    let = [t for t in tasks if turns[t.key].admitted]
    spaces = Counter(t.key.namespace for t in [*runs, *let])
    endpoints = Counter(t.endpoint for t in [*runs, *let])
    if let and limits.total:
        assert len(runs) + len(let) <= max(limits.total, len(runs))
    for task in let:
        assert not limits.namespace or spaces[task.key.namespace] <= limits.namespace
    for task in tasks:
        if not turns[task.key].admitted:
            full = limits.total and len(runs) + len(let) >= limits.total
            full = full or endpoints[task.endpoint] >= task.endpoint_limit
            assert full or (limits.namespace and spaces[task.key.namespace] >= limits.namespace)
    positions = sorted(t.position for t in turns.values() if not t.admitted)
    assert positions == list(range(1, len(positions) + 1))


@given(WAITING, BUSY, st.integers(1, 8))
def test_no_namespace_gets_a_second_place_before_a_waiting_one_gets_its_first(tasks, runs, total):
    same = [waiting(t.key.namespace, t.key.name, t.priority, t.since) for t in tasks]
    turns = decide_turns(same, Places(runs), Limits(total=total), {})
    shares = Counter(b.key.namespace for b in runs)
    gained = Counter(k.namespace for k in admitted(turns))
    for key in set(turns) - admitted(turns):
        for space, count in gained.items():
            assert shares[space] + count <= shares[key.namespace] + gained[key.namespace] + 1
