"""The digest in the termination message."""

from pathlib import Path

from agenttask_api.digest import Digest, parse_digest
from agenttask_api.reasons import Reason
from agenttask_courier.lastwords import LastWords


def test_each_step_replaces_the_last(tmp_path: Path):
    path = tmp_path / "log"
    words = LastWords(path, Digest(run_key="k", reason=Reason.PREPARING))
    words.say(message="x" * 300)
    words.say(reason=Reason.RUNNING, message="")
    digest = parse_digest(path.read_text("utf-8"))
    assert digest.reason == "Running"
    assert not digest.final


def test_final_words_are_not_taken_back(tmp_path: Path):
    path = tmp_path / "log"
    words = LastWords(path, Digest(run_key="k", reason=Reason.PREPARING))
    words.say(final=True, reason=Reason.COMPLETED, phase="Succeeded")
    words.say(reason=Reason.RUNNING, final=False)
    words.say(calls=7)
    digest = parse_digest(path.read_text("utf-8"))
    assert (digest.reason, digest.final, digest.calls) == ("Completed", True, 0)


def test_unwritable_log_is_no_failure(tmp_path: Path):
    LastWords(tmp_path / "no" / "log", Digest(run_key="k", reason=Reason.PREPARING)).say()
    assert not (tmp_path / "no").exists()
