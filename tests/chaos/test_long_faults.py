"""Faults that last: `make chaos-long` has each last for ten minutes, all side by side.

Every fault has an operator and a proxy of its own, with the settings of production. Tasks are
at work when it begins, end while it lasts, and are made then; once it is over, all of that is
made up for. The fixture sees to it that all happens once; the tests are the judgement.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict

import pytest
from tests.chaos.faults import TROUBLES
from tests.chaos.harness import Api
from tests.chaos.sidebyside import Glance, Outcome, suffer
from tests.chaos.stage import DRAIN_SECONDS, staged
from tests.servers.certs import Certificates
from tests.servers.nats import NatsServer, free_port, nats_binary

pytestmark = pytest.mark.slow

FAULT_SECONDS = float(os.environ.get("AGENTTASK_FAULT_SECONDS", "15"))
"""How long the faults last; `make chaos-long` says ten minutes."""
UNREADY_SECONDS = 200.0
"""Who has heard nothing for 150 s (`Bounds.watch_age`) is not ready; and a glance takes a while."""
DEAF = ("500", "429 storm", "no answer", "connection refused", "half an answer")
"""With these nothing is heard of the API server at all."""
KUBELETS_PATIENCE = 3
"""Failures in a row, as the chart's liveness probe has it."""
MOST_CALLS_PER_SECOND = 10.0
"""Three times what patience takes in the worst case; without any it is hundreds."""
MOST_PROCESSOR = 0.1
"""Of one processor, five times the worst case; who spins takes all that fourteen leave him."""
MOST_GROWTH_MB = 4.0
"""In half of the time: two more tasks take 1.3 at most, 5 kB kept of each call would take four."""


@pytest.fixture(scope="module")
def outcomes(
    api: Api, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Outcome]]:
    folder = tmp_path_factory.mktemp("long")
    nats = NatsServer(folder / "nats", nats_binary(), free_port())
    nats.start()
    try:
        with ExitStack() as stack:
            stages = {
                name: stack.enter_context(staged(api, certificates, nats, folder / f"f-{number}"))
                for number, name in enumerate(TROUBLES)
            }
            found = suffer(stages, TROUBLES, FAULT_SECONDS, nats)
            for name, outcome in found.items():
                sys.stdout.write(f"{figures(name, outcome)}\n")
        kept = {name: asdict(outcome) for name, outcome in found.items()}
        (folder / "outcomes.json").write_text(json.dumps(kept), encoding="utf-8")
        yield found
    finally:
        nats.stop()


def figures(name: str, outcome: Outcome) -> str:
    """Return a line for the reader."""
    unready = [g.seconds for g in outcome.during if g.readyz != 200]
    drained = outcome.drained_seconds
    return (
        f"{name}: {outcome.per_second(lambda g: g.calls):.2f} calls/s,"
        f" {100 * outcome.per_second(lambda g: g.cpu_s):.1f}% of a processor,"
        f" {outcome.per_second(lambda g: g.log_bytes):.0f} bytes of log/s,"
        f" memory {outcome.during[0].rss_mb:.1f} {outcome.growth_mb():+.1f} MB,"
        f" unready after {min(unready, default=-1):.0f} s,"
        f" drained in {-1 if drained is None else drained:.1f} s"
    )


@pytest.fixture(params=TROUBLES)
def outcome(request: pytest.FixtureRequest, outcomes: dict[str, Outcome]) -> Outcome:
    return outcomes[request.param]


def test_process_stays_and_is_told_alive_throughout(outcome: Outcome) -> None:
    assert [g for g in outcome.during if not g.alive or g.healthz == 503] == []
    # On a busy machine an answer may be late; a kubelet restarts after three of them in a row.
    assert outcome.longest_silence() < KUBELETS_PATIENCE


def test_process_is_well_and_ready_afterwards(outcome: Outcome) -> None:
    after = outcome.after
    assert after
    assert (after.alive, after.healthz, after.readyz) == (True, 200, 200)


def test_nobody_spins(outcome: Outcome) -> None:
    assert outcome.per_second(lambda g: g.calls) < MOST_CALLS_PER_SECOND
    assert outcome.per_second(lambda g: g.cpu_s) < MOST_PROCESSOR


def test_memory_does_not_grow(outcome: Outcome) -> None:
    assert outcome.growth_mb() < MOST_GROWTH_MB


def test_all_is_made_up_for_within_a_minute_with_one_job_each(outcome: Outcome) -> None:
    assert outcome.unfinished == {}
    assert outcome.drained_seconds is not None
    assert outcome.drained_seconds < DRAIN_SECONDS
    assert outcome.jobs == {1: outcome.tasks}


def test_nats_has_every_end_once(outcome: Outcome) -> None:
    assert (outcome.lost, outcome.surplus) == ([], {})


@pytest.mark.parametrize("name", DEAF)
def test_deaf_operator_is_not_ready(outcomes: dict[str, Outcome], name: str) -> None:
    """Not ready once it has heard nothing for long; and ready until then."""
    late = [g for g in outcomes[name].during if g.seconds > UNREADY_SECONDS]
    assert [g for g in late if g.readyz != 503] == []
    assert ready_at_first(outcomes[name].during)


def ready_at_first(during: list[Glance]) -> bool:
    return during[0].readyz == 200
