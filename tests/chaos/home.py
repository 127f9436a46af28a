"""Namespaces with an operator process of their own, and what tests do to the tasks in them."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.harness import TASKS, Api, Object, Operator
from tests.e2e.tasks import eventually
from tests.servers.nats import NatsServer, free_port, nats_binary

from agenttask_api import names


@dataclass
class Home:
    """A namespace with an operator of its own."""

    api: Api
    space: str
    operator: Operator
    nats: NatsServer

    def path(self, name: str) -> str:
        return f"{TASKS}/namespaces/{self.space}/agenttasks/{name}"

    def status(self, name: str) -> Object:
        return dict(self.api.task(self.space, name).get("status") or {})

    def jobs(self, name: str) -> list[Object]:
        label = names.LABEL_TASK
        return [j for j in self.api.jobs(self.space) if j["metadata"]["labels"].get(label) == name]

    def pod(self, name: str, number: int = 1) -> Object:
        """Return the task's n-th pod once it is there."""
        pods = eventually(
            lambda: (p := self.api.pods(self.space, name)) and len(p) >= number and p,
            40,
            f"pod {number} of {name}",
        )
        return dict(sorted(pods, key=lambda p: p["metadata"]["creationTimestamp"])[-1])

    def until(self, name: str, seconds: float = 40, **wanted: str) -> Object:
        last: Object = {}

        def check() -> bool:
            last.clear()
            last.update(self.status(name))
            return wanted.items() <= last.items()

        told = ("phase", "reason", "message")
        try:
            eventually(check, seconds, f"{name} to be {wanted}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {[last.get(k) for k in told]}") from None
        return last


@contextmanager
def at_home(api: Api, config: str, folder: Path, name: str, *more: str) -> Iterator[Home]:
    """Run an operator for a fresh namespace, and for more of them whose names end so."""
    space = f"{name}-{secrets.token_hex(4)}"
    spaces = [space, *(f"{space}-{end}" for end in more)]
    for each in spaces:
        api.make_namespace(each)
    nats = NatsServer(folder / "nats", nats_binary(), free_port())
    nats.start()
    environ = {
        "KUBECONFIG": config,
        "AGENT_IMAGE": "none",
        "NATS_URL": nats.url,
        "NAMESPACES": ",".join(spaces),
        "MODEL_PROBE_SECONDS": "0",
    }
    operator = Operator(folder, environ, name)
    operator.start()
    try:
        operator.ready()
        yield Home(api, space, operator, nats)
    finally:
        operator.stop()
        nats.stop()
        for each in spaces:
            if api.get(f"/api/v1/namespaces/{each}"):
                api.request("DELETE", f"/api/v1/namespaces/{each}")
