"""The rules of `crds/agenttask.yaml` that no type can say, for where no API server is.

The API server tries them as CEL; here each is a predicate with the same message, and
a test holds the two lists together. Rules about changing a stored task are not here.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agenttask_api.spec import AgentsSuccess, AgentTaskSpec, EnvVar, Mode, OnError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?")
_HTTPS = re.compile(r"https://[^/?#@\\]+([/?#].*)?")
_SSH = re.compile(r"ssh://([^/?#@:\\]+@)?[^/?#@\\]+([/?#].*)?")
_HYPHEN_HOST = re.compile(r"(https|ssh)://([^/@]*@)?-")
_PARENT = re.compile(r"(^|/)[.][.](/|$)")
_BAD_BRANCH = re.compile(r"[.][.]|//|/[.]|[./]$|[.]lock(/|$)")
_TAKEN_VARIABLES = frozenset({"PATH", "HOME", "TMPDIR"})


@dataclass(frozen=True)
class Rule:
    """One rule: where it holds, what to do when it does not, and whether it does."""

    path: str
    message: str
    holds: Callable[[AgentTaskSpec], bool]


NAME_RULE = (
    "metadata.name must be a DNS label of at most 52 characters, as Job and branch are named"
    " after it: shorten it, and use a-z, 0-9 and - only"
)

TASK_RULES: tuple[Rule, ...] = (
    Rule(
        "spec",
        "set exactly one of prompt and promptFrom",
        lambda s: (s.prompt is None) != (s.prompt_from is None),
    ),
    Rule(
        "spec.deliberation.rounds",
        "agents critique each other: set agents.count to at least 2, or deliberation.rounds to 0",
        lambda s: s.deliberation.rounds == 0 or s.agents.count >= 2,
    ),
    Rule(
        "spec.agents.atLeast",
        "set agents.atLeast together with agents.success: AtLeast, and leave it out otherwise",
        lambda s: (s.agents.success is AgentsSuccess.AT_LEAST) == (s.agents.at_least is not None),
    ),
    Rule(
        "spec.agents.atLeast",
        "agents.atLeast must not exceed agents.count: lower it, or raise count",
        lambda s: s.agents.at_least is None or s.agents.at_least <= s.agents.count,
    ),
    Rule(
        "spec.constraints.onError",
        "onError is about the steps of a plan, and in Iterative mode the model sees each failure:"
        " set constraints.mode to Plan, or leave onError out",
        lambda s: s.constraints.on_error is OnError.ABORT or s.constraints.mode is Mode.PLAN,
    ),
    Rule(
        "spec.contextFrom",
        "set exactly one of configMapKeyRef and taskRef in each entry of contextFrom",
        lambda s: all(
            (c.config_map_key_ref is None) != (c.task_ref is None) for c in s.context_from
        ),
    ),
    Rule(
        "spec.repo.url",
        "the URL must not carry credentials: leave out what stands before the @ and name a Secret"
        " in repo.credentialsRef",
        lambda s: not s.repo.url.startswith("https://") or bool(_HTTPS.fullmatch(s.repo.url)),
    ),
    Rule(
        "spec.repo.url",
        "an ssh:// URL may carry a user name but no password, as in ssh://git@host/path: name"
        " a Secret in repo.credentialsRef",
        lambda s: not s.repo.url.startswith("ssh://") or bool(_SSH.fullmatch(s.repo.url)),
    ),
    Rule(
        "spec.repo.url",
        "the host must not begin with a hyphen: correct repo.url",
        lambda s: not _HYPHEN_HOST.match(s.repo.url),
    ),
    Rule(
        "spec.repo.revision",
        "revision must be one branch, tag or commit id: remove the ..",
        lambda s: ".." not in s.repo.revision,
    ),
    Rule(
        "spec.repo.path",
        "path must stay inside the repository: give it relative to the repository's root, without"
        " ..",
        lambda s: not s.repo.path.startswith("/") and not _PARENT.search(s.repo.path),
    ),
    Rule(
        "spec.env",
        "PATH, HOME, TMPDIR, LD_* and AGENTTASK_* decide what runs and are set by the pod: use"
        " another name",
        lambda s: not any(_is_taken(variable) for variable in s.env),
    ),
    Rule(
        "spec.output.branch",
        "name a branch without refs/heads/, such as agenttask/fix-12; other refs cannot be pushed"
        " to",
        lambda s: not s.output.branch.startswith("refs/") and s.output.branch != "HEAD",
    ),
    Rule(
        "spec.output.branch",
        "not a branch name that git accepts: remove any .., //, /., final . or /, and .lock"
        " endings",
        lambda s: not _BAD_BRANCH.search(s.output.branch) and s.output.branch != "@",
    ),
)


def broken_rules(name: str, spec: AgentTaskSpec) -> tuple[str, ...]:
    """Return every broken rule as `path: what to do`; empty = the task is fine."""
    found = [] if _NAME.fullmatch(name) else [f"metadata.name: {NAME_RULE}"]
    found += [f"{rule.path}: {rule.message}" for rule in TASK_RULES if not rule.holds(spec)]
    return (*found, *_named_twice(spec))


def _named_twice(spec: AgentTaskSpec) -> Iterator[str]:
    """Lists that the API server keeps by name hold each name once."""
    yield from _doubles("spec.setup", (step.name for step in spec.setup))
    yield from _doubles("spec.verify", (step.name for step in spec.verify))
    yield from _doubles("spec.env", (variable.name for variable in spec.env))
    yield from _doubles("spec.tools.connections", (c.name for c in spec.tools.connections))


def _doubles(path: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"{path}: the name {name!r} is there twice: rename one"
        seen.add(name)


def _is_taken(variable: EnvVar) -> bool:
    return variable.name in _TAKEN_VARIABLES or variable.name.startswith(("LD_", "AGENTTASK_"))
