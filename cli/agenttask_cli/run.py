"""`agenttask run`: one task on this machine, from its file to what is left of it."""

import asyncio
import contextlib
import errno
import hashlib
import signal
import sys
import traceback
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from agenttask_agent.tools.processtree import become_subreaper
from agenttask_api.agentclass import AgentClassSpec
from agenttask_api.clonefacts import CloneFacts
from agenttask_api.reasons import Reason
from agenttask_api.taskdocument import TaskDocument
from agenttask_cli import order, outputs
from agenttask_cli.checkout import KEY_VARIABLE, Checkout, look_at
from agenttask_cli.errors import BadInput
from agenttask_cli.localpod import LocalPod, local_pod
from agenttask_cli.logfile import logging_to
from agenttask_cli.outputs import Left
from agenttask_cli.processes import end_descendants, hide_memory
from agenttask_cli.session import Session, clone_failure, work
from agenttask_cli.source import PushOn, fetch_source, stand_in_access, stand_in_for, users_git
from agenttask_cli.story import Story
from agenttask_cli.taskfile import Task, read_class, read_task
from agenttask_courier.clone import CloneError, clone
from agenttask_courier.decision import Outcome, failed
from agenttask_courier.git import GitFailed
from agenttask_courier.result import Account
from agenttask_courier.settings import Settings

URL_VARIABLES = ("AGENTTASK_MODEL_URL", "VLLM_URL")
MODELS_SECONDS = 10.0


@dataclass(frozen=True)
class Asked:
    """The command line of one run."""

    file: Path
    workspace: Path | None = None
    model_url: str = ""
    model_name: str = ""
    class_file: Path | None = None
    key_file: Path | None = None
    secrets: Path | None = None
    output: Path | None = None
    push: bool = False
    keep: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Everything that is known before anything is done."""

    asked: Asked
    task: Task
    document: TaskDocument
    endpoint: str
    model_key: str = field(repr=False)
    checkout: Checkout | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """One run, over."""

    plan: Plan
    account: Account
    left: Left
    kept: Path | None = None


def plan_run(asked: Asked) -> Plan:
    """Read and check everything the user gave; raises BadInput."""
    task = read_task(asked.file)
    key = _model_key(asked)
    class_ = _class_of(asked, task, key)
    document = order.build_order(asked.file, task, class_)
    _check_secrets(asked, document)
    checkout = look_at(asked.workspace, asked.environ) if asked.workspace else None
    notes = (*order.notes(task.spec, class_), *_notes_on(checkout))
    return Plan(asked, task, document, class_.model.endpoint, key, checkout, notes)


def run_task(plan: Plan, story: Story, folder: Path) -> Finished:
    """Run the plan and return how it ended; raises OSError when nothing can be written."""
    with local_pod(plan.asked.keep) as pod:
        session = _session(plan, pod, story)
        with logging_to(pod.courier_log):
            _see_through(plan, session)
        assert session.account is not None
        left = outputs.leave(
            session.account, pod, folder, plan.checkout, plan.asked.environ, plan.asked.push
        )
        return Finished(plan, session.account, left, pod.root if plan.asked.keep else None)


def _session(plan: Plan, pod: LocalPod, story: Story) -> Session:
    settings = Settings(
        vllm_url=plan.endpoint, cluster_id="local", pod_name="local", pod_uid=str(uuid.uuid4())
    )
    users = users_git(pod.source, pod.own, plan.asked.environ)
    return Session(
        pod=pod,
        document=plan.document,
        settings=settings,
        access=stand_in_access(pod.source, plan.document.repo.url),
        push=PushOn(users if plan.asked.push else None),
        story=story,
        model_key=plan.model_key,
        probe_cache=_probe_cache(plan),
        db_secrets=plan.asked.secrets / "db" if plan.asked.secrets else None,
    )


def _probe_cache(plan: Plan) -> Path:
    """Return the file of this endpoint and this model, in the user's cache."""
    environ = plan.asked.environ
    base = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME", "/")) / ".cache")
    which = f"{plan.endpoint}\n{plan.document.model.name}"
    return base / "agenttask" / "probes" / f"{hashlib.sha256(which.encode()).hexdigest()}.json"


def _see_through(plan: Plan, session: Session) -> None:
    """Go all the way; whatever ends it is accounted for, and nothing stays alive."""
    become_subreaper()
    hide_memory()
    try:
        with _interruptible():
            facts = _cloned(plan, session)
            if facts:
                session.story.enter("Working")
                asyncio.run(work(session, facts))
    except (KeyboardInterrupt, asyncio.CancelledError):
        session.cancelled = True
    except OSError as error:
        session.give_up(_disk_outcome(error))
    except Exception as error:
        traceback.print_exception(error, file=sys.stdout)
        session.give_up(failed(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}"))
    finally:
        end_descendants()
    if session.account is None:
        session.give_up(failed(Reason.NO_RESULT, "the run was killed before its outcome was known"))


def _cloned(plan: Plan, session: Session) -> CloneFacts | None:
    """Fetch and lay out the workspace; None = it failed and is accounted for."""
    places = session.places
    places.task_file.write_text(order.write_document(plan.document), encoding="utf-8")
    session.story.enter("Fetching the repository")
    git = users_git(session.pod.source, session.pod.own, plan.asked.environ)
    try:
        if plan.checkout:
            stand_in_for(git, plan.document, plan.checkout)
        else:
            fetch_source(git, plan.document)
    except CloneError as error:
        session.give_up(failed(error.reason, str(error)))
        return None
    except GitFailed as error:
        session.give_up(failed(Reason.CLONE_FAILED, str(error)))
        return None
    session.story.enter("Laying out the workspace")
    if clone(places, plan.document, access=session.access):
        session.give_up(clone_failure(places.termination_log.read_text("utf-8")))
        return None
    return CloneFacts.model_validate_json(places.clone_facts.read_bytes())


def _disk_outcome(error: OSError) -> Outcome:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename})" if error.filename else ""
        return failed(Reason.WORKSPACE_FULL, f"no space left for the run's folder{where}")
    return failed(Reason.INTERNAL_ERROR, f"{error.strerror}: {error.filename}")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is under way as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _class_of(asked: Asked, task: Task, key: str) -> AgentClassSpec:
    url = _endpoint(asked)
    if asked.class_file:
        return order.with_model(read_class(asked.class_file), url, asked.model_name)
    if not url:
        raise BadInput(
            "no model: give --model-url http://HOST:PORT or --class FILE, or set"
            f" {URL_VARIABLES[0]}"
        )
    name = asked.model_name or task.spec.model.name or _only_model(url, key)
    return order.class_of(task.spec, url, name)


def _endpoint(asked: Asked) -> str:
    from_environment = "" if asked.class_file else _first(asked.environ, URL_VARIABLES)
    url = (asked.model_url or from_environment).rstrip("/").removesuffix("/v1").rstrip("/")
    if url and not url.startswith(("http://", "https://")):
        raise BadInput(f"--model-url {url}: begins with neither http:// nor https://")
    if "@" in url:
        raise BadInput(f"--model-url: must not carry a key; put it into {KEY_VARIABLE}")
    return url


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _only_model(url: str, key: str) -> str:
    """Ask the server which model it has; raises BadInput unless it is exactly one."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(
            f"{url}/v1/models", headers=headers, timeout=MODELS_SECONDS, trust_env=False
        )
        answer.raise_for_status()
        names = [str(model["id"]) for model in answer.json()["data"]]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"--model-url {url}: does not tell which models it has ({type(error).__name__}):"
            " is the server up? Or give --model-name"
        ) from error
    if len(names) != 1:
        raise BadInput(f"--model-name: choose one of {', '.join(names) or 'none'}")
    return names[0]


def _model_key(asked: Asked) -> str:
    if not asked.key_file:
        return asked.environ.get(KEY_VARIABLE, "").strip()
    try:
        return asked.key_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--model-key-file {asked.key_file}: cannot be read") from error


def _check_secrets(asked: Asked, document: TaskDocument) -> None:
    missing = [
        c.name
        for c in document.connections
        if not (asked.secrets and (asked.secrets / "db" / c.name).is_dir())
    ]
    if missing:
        where = asked.secrets or "DIR"
        raise BadInput(
            f"{asked.file}: spec.tools.connections: a cluster has a Secret for"
            f" {', '.join(missing)}; here give --secrets DIR with the same keys as files, such as"
            f" {where}/db/{missing[0]}/url"
        )


def _notes_on(checkout: Checkout | None) -> Iterator[str]:
    if not checkout:
        return
    where = checkout.branch or "a detached HEAD"
    yield f"starts from {checkout.head[:12]} ({where}) of the workspace, not from repo.revision"
    if checkout.dirty:
        yield f"{checkout.dirty} uncommitted files there are not part of the run"
