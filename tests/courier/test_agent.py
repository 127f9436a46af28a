"""The real agent at the real courier: what it hands over reaches the object store."""

import asyncio
import hashlib
import json
import os
import sys
from pathlib import Path

from tests.agent.conftest import FINISH, PACKAGES, call, script_of
from tests.agent.door import serving
from tests.courier.conftest import MakeDocument, Origin
from tests.courier.pod import running_pod
from tests.courier.test_run import ENV, PYTEST, published_result, stored_object
from tests.servers.nats import NatsServer
from tests.servers.vllm import MODEL

from agenttask_agent.rehearsal.server import make_app
from agenttask_courier.places import Places

LOUD = "import sys\nsys.stderr.write('z' * 300_000 + 'the middle' + 'z' * 300_000)\n"
SCRIPT = script_of(
    call("tests_pytest"),
    call("files_read_file", path="src/calc.py"),
    call("files_edit_file", path="src/calc.py", search="a - b", replace="a + b"),
    call("files_write_file", path="noise.py", content=LOUD),
    call("files_write_file", path="Makefile", content="test:\n\tpython3 noise.py\n"),
    call("tests_make_test"),
    *FINISH,
)


async def test_the_tests_whole_output_is_in_the_object_store(
    places: Places, origin: Origin, make_document: MakeDocument, nats: NatsServer
):
    driven = {"name": MODEL, "profile": "Large"}
    document = make_document(verify=[PYTEST], env=ENV, model=driven)
    with serving(make_app([SCRIPT])) as model:
        async with running_pod(places, document, model, nats.url) as pod:
            places.task_file.write_text(document.model_dump_json(by_alias=True), "utf-8")
            output = await run_agent(places)
            digest = await pod.settled()
    result = json.loads(await published_result(nats))
    assert (digest.phase, digest.reason) == ("Succeeded", "Completed"), output
    refs = {ref["name"]: ref for ref in result["artifacts"]["refs"]}
    stored = await stored_object(nats, refs["tests.log"]["ref"])
    assert hashlib.sha256(stored).hexdigest() == refs["tests.log"]["sha256"]
    tests = [o for o in result["operations"] if o["operation"].startswith("tests.")]
    sections = [operation["metadata"]["output"] for operation in tests]
    parts = [stored[s["offset"] : s["offset"] + s["bytes"]] for s in sections]
    assert [hashlib.sha256(p).hexdigest() for p in parts] == [s["sha256"] for s in sections]
    assert b"1 failed" in parts[0]
    assert b"the middle" in parts[1]


async def run_agent(places: Places) -> str:
    """Run `agenttask-agent run` to its end and return what it said."""
    options: dict[str, Path] = {
        "--task": places.task_file,
        "--door": places.door_socket,
        "--repo": places.repo,
        "--home": places.home,
        "--tmp": places.tmp,
    }
    argv = ["-m", "agenttask_agent", "run", *(str(w) for pair in options.items() for w in pair)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        env={"PATH": path, "PYTHONPATH": PACKAGES},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return said.decode()
