"""Keys of the run-once ledger: valid for NATS, and one run's never another's."""

import re

from hypothesis import given
from hypothesis import strategies as st

from agenttask_api.ledger import entry_key, recorded_outcome
from agenttask_api.status import AgentTaskStatus, Condition, PastRun, Phase, Run

names = st.text(min_size=1, max_size=20)


def test_plain_names_stay_readable() -> None:
    assert entry_key("prod-1", "team-a", "fix-12", "2-deadbeef") == (
        "prod-1.team-a.fix-12.2-deadbeef"
    )


@given(names, names)
def test_nats_takes_every_key(cluster: str, name: str) -> None:
    key = entry_key(cluster, "team", name, "1-a")
    assert re.fullmatch(r"[-/_=.a-zA-Z0-9]+", key)
    assert len(key.split(".")) == 4


@given(st.tuples(names, names), st.tuples(names, names))
def test_different_runs_have_different_keys(one: tuple[str, str], two: tuple[str, str]) -> None:
    first, second = (entry_key(c, "team", n, "1-a") for c, n in (one, two))
    assert (first == second) == (one == two)


def test_outcome_holds_nothing_of_the_object_that_had_it() -> None:
    status = AgentTaskStatus(
        phase=Phase.FAILED,
        observed_generation=7,
        run=Run(id="1", key="1-a"),
        runs=(PastRun(id="0", key="0-a", phase="Failed"),),
        conditions=tuple(
            Condition(type=t, status="False", reason="X", last_transition_time="t")
            for t in ("Ready", "Started")
        ),
    )
    kept = recorded_outcome(status)
    assert (kept.phase, kept.run) == (status.phase, status.run)
    assert [c.type for c in kept.conditions] == ["Started"]
    assert (kept.runs, kept.observed_generation) == ((), 0)
