"""Health and readiness fail for the right reasons, and only for those."""

import pytest

from agenttask_operator.health import Vitals, ailment, unreadiness

WELL = {"jobs": 10.0, "pods": 0.5}


def test_standby_is_well_and_ready():
    vitals = Vitals(tried=WELL, heard=WELL, queue_age=4000, quiet=4000, working=False)
    assert ailment(vitals) == unreadiness(vitals) == ""


def test_leader_with_nothing_to_do_is_well():
    assert ailment(Vitals(queue_age=0, quiet=90000, working=True)) == ""


def test_busy_leader_with_a_long_queue_is_well():
    assert ailment(Vitals(queue_age=4000, quiet=0.1, working=True)) == ""


@pytest.mark.parametrize(
    ("vitals", "words"),
    [
        (Vitals(dead=("worker-3",)), "worker-3"),
        (Vitals(replaced=True), "another process leads"),
        (Vitals(tried={"pods": 181.0}), "pods"),
        (Vitals(queue_age=301, quiet=301, working=True), "stuck"),
        (Vitals(lag=5.5), "5.5 s late"),
    ],
)
def test_part_that_stopped_makes_it_ill_and_unready(vitals, words):
    assert words in ailment(vitals)
    assert words in unreadiness(vitals)


def test_api_server_that_is_away_makes_unready_but_not_ill():
    vitals = Vitals(tried={"jobs": 2.0}, heard={"jobs": 600.0})
    assert ailment(vitals) == ""
    assert "jobs" in unreadiness(vitals)


def test_what_was_never_listed_makes_unready_but_not_ill():
    vitals = Vitals(tried={"jobs": 2.0}, heard={"jobs": None})
    assert ailment(vitals) == ""
    assert "not listed yet: jobs" in unreadiness(vitals)
