"""Which remote repositories a run may talk to, and how without running anything there.

Nothing is allowed until it is named. A remote in the pod is a folder that the agent's
own user can write to: git's other half would obey that folder's configuration and run
its hooks, and settings of this half do not reach it. So its configuration is cut down
as the workspace's is, and the other half is started with hooks switched off.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agenttask_agent.tools import validators
from agenttask_agent.tools.gitconfig import ConfigGuard
from agenttask_agent.tools.refusal import Denied

OTHER_HALF = ("core.hooksPath=/dev/null", "core.alternateRefsCommand=true", "protocol.allow=never")
HTTPS = ("protocol.https.allow=always", "http.followRedirects=false", "http.sslVerify=true")


@dataclass(frozen=True)
class Remote:
    """One allowed remote and the settings with which git may reach it."""

    url: str
    settings: tuple[str, ...] = ()
    program: str = ""
    """How the other half is started; empty where it runs on another machine."""

    def reading(self) -> list[str]:
        """Return the options of fetch and clone."""
        return [f"--upload-pack={self.program} upload-pack"] if self.program else []

    def writing(self) -> list[str]:
        """Return the options of push."""
        return [f"--receive-pack={self.program} receive-pack"] if self.program else []


@dataclass(frozen=True)
class Remotes:
    """The allow-list: https URLs, and absolute paths of bare repositories."""

    allowed: tuple[str, ...] = ()
    ca: Path | None = None
    """The authority to trust in place of the system's."""

    def reach(self, url: str, env: Mapping[str, str]) -> Remote:
        """Return the remote ready to be talked to; raises Denied unless it is listed."""
        if not url.startswith("/"):
            validators.git_url(url)
        if url not in self.allowed:
            listed = ", ".join(self.allowed) or "none"
            raise Denied(f"{url[:200]!r} is not an allowed remote; allowed: {listed}")
        return _folder(url, env) if url.startswith("/") else self._https(url)

    def _https(self, url: str) -> Remote:
        if not url.startswith("https://"):
            raise Denied("only https remotes can be reached from here")
        trust = (f"http.sslCAInfo={self.ca}",) if self.ca else ()
        return Remote(url, (*HTTPS, *trust))


def _folder(path: str, env: Mapping[str, str]) -> Remote:
    ConfigGuard(Path(path), env, bare=True).ensure_safe()
    settings = [*OTHER_HALF, f"safe.directory={path}"]
    words = ["git", *(word for setting in settings for word in ("-c", setting))]
    return Remote(path, program=shlex.join(words))
