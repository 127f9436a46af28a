import io

from agenttask_cluster.progress import Progress


def test_step_gets_its_tick_when_the_next_begins():
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        progress.step("one")
        progress.step("two")
    marks = [line.split(" (")[0].split("  ")[0] for line in stream.getvalue().splitlines()]
    assert marks == [" • one", " ✓ one", " • two", " ✓ two"]


def test_same_step_again_is_a_sign_of_life():
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.step("one")
    progress.step("one")
    assert stream.getvalue().splitlines() == [" • one  ...", " • one  ... 0 s"]


def test_quiet_progress_says_nothing():
    stream = io.StringIO()
    Progress(quiet=True, stream=stream).step("one")
    assert stream.getvalue() == ""
