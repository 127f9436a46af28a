"""Submodules: fetched from real servers, shown as plain folders, kept in what is pushed."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.courier.conftest import MakeDocument, Origin, document_of, git, write_files
from tests.courier.pod import running_pod
from tests.courier.test_run import FIX, outcome
from tests.courier.test_ssh import bare, sshd  # noqa: F401 - fixtures
from tests.courier.test_ssh import places as ssh_places  # noqa: F401 - a fixture
from tests.servers.certs import Certificates
from tests.servers.githttps import git_server
from tests.servers.sshd import SshServer
from tests.servers.vllm import VLLM

from agenttask_api.clonefacts import CloneFacts, CloneFailure
from agenttask_courier import submodules
from agenttask_courier.clone import clone
from agenttask_courier.places import Places
from agenttask_courier.submodules import BadSubmodule, resolve

CHECK = {
    "name": "look",
    "run": [sys.executable, "-c", "assert open('vendor/lib/lib.py').read() == 'lib = 1\\n'"],
    "timeoutSeconds": 60,
}


@dataclass(frozen=True)
class Family:
    """A repository with a submodule that has one itself."""

    origin: Origin
    lib: str
    """Commit of `vendor/lib`."""
    core: str
    """Commit of `vendor/lib/core`, deep in its history."""


def repository(root: Path, name: str, files: dict[str, str], *links: tuple[str, str, str]) -> str:
    """Make a bare repository with these files and links (path, url, commit); return its tip."""
    bare, work = root / f"{name}.git", root / f"{name}-work"  # noqa: F811
    git(root, "init", "-q", "--bare", "-b", "main", str(bare))
    git(root, "init", "-q", "-b", "main", str(work))
    link(work, *links)
    write_files(work, files)
    git(work, "add", "-A")
    git(work, "commit", "-qm", name)
    git(work, "push", "-q", str(bare), "main")
    tip = git(work, "rev-parse", "HEAD")
    shutil.rmtree(work)
    return tip


def link(work: Path, *links: tuple[str, str, str]) -> None:
    """Add links to submodules to a work tree's index and its .gitmodules."""
    for path, url, commit in links:
        for key, value in (("path", path), ("url", url)):
            git(work, "config", "-f", ".gitmodules", f"submodule.{path}.{key}", value)
        (work / path).mkdir(parents=True, exist_ok=True)
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")


@pytest.fixture
def family(origin: Origin) -> Family:
    root = origin.server.root
    core = repository(root, "core", {"core.py": "core = 1\n"})
    lib = repository(root, "lib", {"lib.py": "lib = 1\n"}, ("core", "../core.git", core))
    adopt(origin, ("vendor/lib", "../lib.git", lib))
    return Family(origin, lib, core)


def adopt(origin: Origin, *links: tuple[str, str, str]) -> None:
    """Let the project's main branch have these submodules."""
    link(origin.work, *links)
    git(origin.work, "add", ".gitmodules")
    git(origin.work, "commit", "-qm", "submodules")
    git(origin.work, "push", "-q", "origin", "HEAD:main")


def wanting(origin: Origin, **repo: object) -> dict[str, object]:
    return {"url": origin.url, "submodules": True, **repo}


def failure(places: Places) -> CloneFailure:
    return CloneFailure.model_validate_json(places.termination_log.read_text("utf-8"))


@pytest.mark.parametrize("depth", [0, 1])
def test_they_are_fetched_with_what_is_inside_them(
    places: Places, family: Family, make_document: MakeDocument, depth: int
):
    assert clone(places, make_document(repo=wanting(family.origin, depth=depth))) == 0
    assert (places.repo / "vendor/lib/lib.py").read_text("utf-8") == "lib = 1\n"
    assert (places.repo / "vendor/lib/core/core.py").read_text("utf-8") == "core = 1\n"
    facts = CloneFacts.model_validate_json(places.clone_facts.read_bytes())
    assert [(s.path, s.commit) for s in facts.submodules] == [
        ("vendor/lib", family.lib),
        ("vendor/lib/core", family.core),
    ]
    assert list(places.repo.rglob(".git")) == [places.repo / ".git"]
    assert git(places.repo, "status", "--porcelain") == ""


def test_they_are_left_out_unless_asked_for(
    places: Places, family: Family, make_document: MakeDocument
):
    assert clone(places, make_document()) == 0
    assert list((places.repo / "vendor/lib").iterdir()) == []
    assert not places.modules.exists()


async def test_checks_see_them_and_the_link_is_kept(
    places: Places, family: Family, make_document: MakeDocument, vllm: VLLM
):
    document = make_document(repo=wanting(family.origin), verify=[CHECK])
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        write_files(places.repo, {"vendor/lib/lib.py": "edited = 1\n"})
        commit = pod.agent.commit(FIX)
        await pod.agent.hand_in()
        assert (await pod.agent.receipt())["phase"] == "Succeeded", pod.digest().message
        assert outcome(pod) == ("Succeeded", "Completed", "Verified")
    listed = family.origin.server.git("project.git", "ls-tree", commit, "vendor/lib")
    assert listed.split() == ["160000", "commit", family.lib, "vendor/lib"]


async def test_a_link_that_the_agent_moved_is_refused(
    places: Places, family: Family, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(repo=wanting(family.origin)), vllm.url) as pod:
        await pod.agent.attach()
        moved = f"160000,{family.core},vendor/lib"
        git(places.repo, "update-index", "--cacheinfo", moved)
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        assert (await pod.agent.receipt())["reason"] == "PolicyDenied"


async def test_salvage_leaves_them_as_they_are(
    places: Places, family: Family, make_document: MakeDocument, vllm: VLLM
):
    async with running_pod(places, make_document(repo=wanting(family.origin)), vllm.url) as pod:
        await pod.agent.attach()
        write_files(places.repo, {**FIX, "vendor/lib/new.py": "new\n"})
        await pod.agent.die()
        await pod.settled()
        assert "return a + b" in pod.patch()
        assert "vendor" not in pod.patch()


async def test_checks_of_a_change_that_drops_one_do_not_see_it(
    places: Places, family: Family, make_document: MakeDocument, vllm: VLLM
):
    gone = {"name": "gone", "run": ["test", "!", "-e", "vendor/lib/lib.py"]}
    document = make_document(repo=wanting(family.origin), verify=[gone])
    async with running_pod(places, document, vllm.url) as pod:
        await pod.agent.attach()
        git(places.repo, "rm", "-qrf", "vendor/lib")
        pod.agent.commit(FIX)
        await pod.agent.hand_in()
        assert (await pod.agent.receipt())["phase"] == "Succeeded", pod.digest().message


def test_another_host_gets_no_credentials(
    places: Places,
    origin: Origin,
    make_document: MakeDocument,
    certificates: Certificates,
    tmp_path: Path,
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    public = repository(elsewhere, "public", {"public.py": "x"})
    with git_server(elsewhere, certificates, auth=False) as other:
        adopt(origin, ("public", other.url("public.git"), public))
        assert clone(places, make_document(repo=wanting(origin))) == 0
        assert (places.repo / "public/public.py").exists()
        assert set(other.authorizations) == {""}
        other.auth = True
        assert clone(places, make_document(repo=wanting(origin))) == 1
        assert set(other.authorizations) == {""}
    assert failure(places).reason == "CloneAuthFailed"
    assert "submodule public" in failure(places).message


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc", "only https:// and ssh://"),
        ("/etc", "only https:// and ssh://"),
        ("ext::sh -c touch% x", "only https:// and ssh://"),
        ("http://127.0.0.1/x", "only https:// and ssh://"),
        ("https://me:pw@127.0.0.1/x", "holds a password"),
        ("../../../x.git", "leads out of"),
        ("ssh://git@elsewhere.example/x", "needs a key"),
        ("git@elsewhere.example:x", "needs a key"),
    ],
)
def test_what_is_not_fetched_is_named(
    places: Places, origin: Origin, make_document: MakeDocument, url: str, said: str
):
    adopt(origin, ("evil", url, "a" * 40))
    assert clone(places, make_document(repo=wanting(origin))) == 1
    assert failure(places).reason == "CloneFailed"
    assert failure(places).message.startswith("submodule evil: ")
    assert said in failure(places).message


def test_a_link_without_an_address_is_named(
    places: Places, origin: Origin, make_document: MakeDocument
):
    git(origin.work, "update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},lost")
    git(origin.work, "commit", "-qm", "lost")
    git(origin.work, "push", "-q", "origin", "HEAD:main")
    assert clone(places, make_document(repo=wanting(origin))) == 1
    assert failure(places).message == "submodule lost: .gitmodules has no url for it"


def test_a_commit_that_is_gone_is_named(
    places: Places, origin: Origin, make_document: MakeDocument
):
    repository(origin.server.root, "lib", {"x": "x"})
    adopt(origin, ("lib", "../lib.git", "b" * 40))
    assert clone(places, make_document(repo=wanting(origin))) == 1
    assert failure(places).message.startswith("submodule lib: ")


@pytest.mark.parametrize(("name", "said"), [("MAX_SUBMODULES", "more than"), ("MAX_DEPTH", "deep")])
def test_numbers_are_capped(
    places: Places,
    family: Family,
    make_document: MakeDocument,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    said: str,
):
    monkeypatch.setattr(submodules, name, 1)
    assert clone(places, make_document(repo=wanting(family.origin))) == 1
    assert said in failure(places).message


@pytest.mark.parametrize(
    ("said", "parent", "meant"),
    [
        ("../b.git", "https://h/x/a.git", "https://h/x/b.git"),
        ("./b.git", "https://h/x/a.git", "https://h/x/a.git/b.git"),
        ("../../y/b", "https://h/x/a.git/", "https://h/y/b"),
        ("../b", "ssh://git@h:22/x/a", "ssh://git@h:22/x/b"),
        ("git@h:x/b.git", "https://h/a", "ssh://git@h/x/b.git"),
        ("https://g/b", "https://h/a", "https://g/b"),
    ],
)
def test_addresses_are_resolved_as_git_does(said: str, parent: str, meant: str):
    assert resolve(said, parent, "p") == meant


@pytest.mark.parametrize("said", ["../../../b", "", "-x", "https:///b", "https://h/a b"])
def test_addresses_that_mean_nothing_are_refused(said: str):
    with pytest.raises(BadSubmodule, match="submodule p: "):
        resolve(said, "https://h/a.git", "p")


def test_over_ssh_the_key_is_used_for_the_same_host(
    ssh_places: Places,  # noqa: F811
    sshd: SshServer,  # noqa: F811
    tmp_path: Path,
):
    inner = repository(tmp_path, "inner", {"inner.py": "x"})
    repository(tmp_path, "outer", {"outer.py": "x"}, ("inner", "../inner.git", inner))
    repo = {"url": sshd.url(tmp_path / "outer.git"), "submodules": True}
    assert clone(ssh_places, document_of("", repo=repo)) == 0
    assert (ssh_places.repo / "inner/inner.py").exists()
