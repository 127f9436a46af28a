"""`agenttask-courier verifier`: runs the task's commands on a clean checkout when asked.

It holds no credential and believes nobody: the folders it is told must lie below the
checkout volume. What the commands write there is the courier's to distrust.
"""

import asyncio
import os
import signal
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError

from agenttask_api.door import VerifyAnswer, VerifyRequest
from agenttask_api.spec import Command
from agenttask_api.verification import StepResult
from agenttask_courier.journal import log
from agenttask_courier.places import Places
from agenttask_courier.sockets import listen
from agenttask_courier.steps import run_step, step_environment

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def serve_verifier(places: Places) -> int:
    """Answer on the verifier's socket until SIGTERM, which ends everything at once."""
    asyncio.run(_serve(places))
    return 0


async def _serve(places: Places) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with listen(verifier_app(places), places.verifier_socket):
        log("verifier.ready")
        await stop.wait()


def verifier_app(places: Places) -> web.Application:
    """Return the application; one request is served at a time."""
    turn = asyncio.Lock()

    async def verify(request: web.Request) -> web.Response:
        try:
            asked = VerifyRequest.model_validate_json(await request.read())
            folders = (
                _below(places.checkout, asked.directory),
                _below(places.checkout, asked.reports),
            )
        except (ValidationError, ValueError) as error:
            return web.json_response({"error": {"message": str(error), "code": 400}}, status=400)
        async with turn:
            answer = await run_all(asked, *folders, places)
        return web.json_response(answer.to_api())

    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_post("/verify", verify)
    return app


async def run_all(
    asked: VerifyRequest, directory: Path, reports: Path, places: Places
) -> VerifyAnswer:
    """Run setup to its first failure, then every verify step."""
    path = os.environ.get("PATH", _DEFAULT_PATH)

    async def run(command: Command) -> StepResult:
        own = reports / command.name
        try:
            own.mkdir(exist_ok=True)
        except OSError as error:  # A step before it has put something there.
            return StepResult(name=command.name, output=f"no folder for reports: {error}")
        environment = step_environment(command.name, own, asked.env, path, places.home, places.tmp)
        result = await run_step(command, directory, environment)
        sweep()
        log("verify.step", step=command.name, exit=result.exit_code, timed_out=result.timed_out)
        return result

    setup: list[StepResult] = []
    for command in asked.setup:
        setup.append(await run(command))
        if setup[-1].exit_code != 0:
            return VerifyAnswer(setup=tuple(setup))
    return VerifyAnswer(setup=tuple(setup), verify=tuple([await run(c) for c in asked.verify]))


def sweep() -> None:
    """Kill what left its process group; possible only as the container's first process."""
    if os.getpid() != 1:
        return
    try:
        os.kill(-1, signal.SIGKILL)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except (ProcessLookupError, ChildProcessError):
        return


def _below(root: Path, folder: str) -> Path:
    path = Path(folder)
    if path.resolve() == root.resolve() or not path.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{folder!r} is not below {root}")
    return path
