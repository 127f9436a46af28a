"""One operator behind one proxy, in a namespace of its own, and the tasks made there."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.harness import PROMPT, TOKEN, Api, Operator, kubeconfig
from tests.chaos.proxy import Proxy
from tests.servers.certs import Certificates
from tests.servers.nats import NatsServer

DRAIN_SECONDS = 60
SECOND_TOKEN = "second-token-that-no-log-may-hold"


@dataclass
class Stage:
    """One operator behind one proxy."""

    api: Api
    proxy: Proxy
    operator: Operator
    space: str
    config: Path
    """The kubeconfig that the operator reads."""
    ca: Path
    made: int = 0
    """Tasks so far; they are called t-0, t-1, ..."""

    def make(self, count: int) -> None:
        for number in range(self.made, self.made + count):
            self.api.make_task(self.space, f"t-{number}")
        self.made += count

    def rotate(self, token: str) -> None:
        """Put another token into the operator's kubeconfig."""
        kubeconfig(self.config, self.proxy.url, self.ca, token)

    def catch_up(self) -> None:
        """All tasks ever made end well, and the process is the one that was started."""
        self.api.all_end(self.space, self.made, DRAIN_SECONDS)
        self.api.one_job_each(self.space, self.made)
        assert self.operator.alive
        assert self.operator.asked("/healthz")[0] == 200


@contextmanager
def staged(
    api: Api, certificates: Certificates, nats: NatsServer, folder: Path, **environ: str
) -> Iterator[Stage]:
    """Start an operator; it is not ready yet. What it logs is searched for secrets at the end."""
    space = f"chaos-{secrets.token_hex(4)}"
    api.make_namespace(space)
    proxy = Proxy(api.server, api.context, certificates)
    proxy.start()
    folder.mkdir(exist_ok=True)
    config = kubeconfig(folder / "config", proxy.url, certificates.ca, TOKEN)
    basic = {
        "KUBECONFIG": str(config),
        "AGENT_IMAGE": "none",
        "NATS_URL": nats.url,
        "NAMESPACES": space,
        "MODEL_PROBE_SECONDS": "0",
    }
    operator = Operator(folder, basic | environ, "only")
    operator.start()
    try:
        yield Stage(api, proxy, operator, space, config, certificates.ca)
    finally:
        operator.stop()
        proxy.stop()
        api.request("DELETE", f"/api/v1/namespaces/{space}")
    said = operator.log.read_text("utf-8")
    assert [secret for secret in (PROMPT, TOKEN, SECOND_TOKEN) if secret in said] == []
