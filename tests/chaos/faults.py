"""What goes wrong with the API server, by name: how it begins, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.proxy import Call, Fault
from tests.chaos.stage import SECOND_TOKEN, Stage


def every(_: Call) -> bool:
    return True


def watch(call: Call) -> bool:
    return call.watch


def listing(call: Call) -> bool:
    return call.collection


def tasks(call: Call) -> bool:
    return call.watch and call.path.endswith("/agenttasks")


def creating(call: Call) -> bool:
    return call.method == "POST"


def patching(call: Call) -> bool:
    return call.method == "PATCH"


FAULTS: dict[str, Fault] = {
    "half a list": Fault(listing, half=True),
    "half an answer": Fault(every, half=True),
    "500": Fault(every, status=500),
    "503 on writes": Fault(patching, status=503),
    "429 storm": Fault(every, status=429, headers={"Retry-After": "1"}),
    "403 on the watch of tasks": Fault(tasks, status=403),
    "403 on creating": Fault(creating, status=403),
    "403 on status": Fault(patching, status=403),
    "410 on every watch": Fault(watch, gone=True),
    "slow loris": Fault(every, slow=0.05),
    "no answer": Fault(every, hang=True),
}

SILENT = Fault(watch, silent=True)
OLD_TOKEN = Fault(lambda call: call.token != SECOND_TOKEN, status=401)


@dataclass(frozen=True)
class Trouble:
    """How something begins to go wrong, and how it ends."""

    begin: Callable[[Stage], None]
    end: Callable[[Stage], None]


def of_fault(fault: Fault) -> Trouble:
    """Return a fault that every watch meets, also those that run already."""

    def begin(stage: Stage) -> None:
        stage.proxy.faults = (fault,)
        stage.proxy.cut_watches()

    def end(stage: Stage) -> None:
        stage.proxy.faults = ()

    return Trouble(begin, end)


def _fall_silent(stage: Stage) -> None:
    stage.proxy.faults = (SILENT,)


def _speak_again(stage: Stage) -> None:
    stage.proxy.faults = ()
    stage.proxy.cut_watches()


def _refuse_the_token(stage: Stage) -> None:
    stage.proxy.faults = (OLD_TOKEN,)
    stage.proxy.cut_watches()


TROUBLES: dict[str, Trouble] = {
    **{name: of_fault(fault) for name, fault in FAULTS.items()},
    "silent watches": Trouble(_fall_silent, _speak_again),
    "connection refused": Trouble(lambda s: s.proxy.refuse(), lambda s: s.proxy.listen()),
    # The old token stays refused: what ends the trouble is the new one.
    "401 until there is another token": Trouble(
        _refuse_the_token, lambda s: s.rotate(SECOND_TOKEN)
    ),
}
