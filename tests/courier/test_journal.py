"""The courier's log."""

import json

import pytest

from agenttask_courier.journal import SELDOM_SECONDS, Seldom


def lines(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, int]]:
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(line["event"], line["error"], line["unsaid"]) for line in found]


def test_trouble_that_lasts_is_logged_once_a_minute_with_a_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    time = 0.0
    seldom = Seldom(lambda: time)
    for _ in range(5):
        seldom.log("nats.error", OSError("refused"))
    time = SELDOM_SECONDS
    seldom.log("nats.error", OSError("refused"))
    assert lines(capsys) == [
        ("nats.error", "OSError: refused", 0),
        ("nats.error", "OSError: refused", 4),
    ]


def test_another_kind_of_trouble_is_logged_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    seldom = Seldom(lambda: 0.0)
    for error in (OSError("refused"), TimeoutError("late"), OSError("refused")):
        seldom.log("nats.error", error)
    seldom.log("nats.retry", OSError("refused"))
    assert [(event, error) for event, error, _ in lines(capsys)] == [
        ("nats.error", "OSError: refused"),
        ("nats.error", "TimeoutError: late"),
        ("nats.retry", "OSError: refused"),
    ]
