"""Clone, fetch, pull and push: against the allowed remote, and no other."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.agent.conftest import MakeTools
from tests.agent.projects import GIT_ENV, git, make_remote, make_repository
from tests.agent.test_git_branches import NOT_NAMES, commit
from tests.agent.toolboxes import Tools
from tests.servers.certs import make_certificates
from tests.servers.githttps import GitServer, git_server

from agenttask_agent.tools.catalogue import CATALOGUE
from agenttask_agent.tools.remotes import Remotes

pytestmark = pytest.mark.usefixtures("as_if_bounded")

MakePodTools = Callable[..., Tools]


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    return tmp_path / "remote.git"


@pytest.fixture
def pod(make_tools: MakeTools, remote: Path) -> Tools:
    """Workspace and remote beside each other, as in a pod."""
    tools = make_tools(remotes=Remotes((str(remote),)))
    make_remote(remote, tools.root)
    return tools


def elsewhere(remote: Path, name: str = "theirs.txt", text: str = "theirs\n") -> str:
    """Commit on main as somebody else, and return the commit."""
    other = remote.with_name(f"other-{name}")
    git(remote.parent, "clone", "--quiet", "--branch=main", str(remote), str(other))
    made = commit(other, name, text)
    git(other, "push", "--quiet", "origin", "HEAD:main")
    return made


def test_push_shows_in_the_remote_and_as_tracking(pod: Tools, remote: Path):
    made = commit(pod.root, "new.txt", "new\n")
    assert made[:12] in pod("git.push").output
    assert git(remote, "rev-parse", "refs/heads/agent") == made
    assert git(pod.root, "rev-parse", "refs/remotes/origin/agent") == made
    assert not pod("git.push", branch="missing").ok


def test_a_push_that_would_lose_commits_is_refused(pod: Tools, remote: Path):
    git(pod.root, "branch", "--move", "agent", "main")
    theirs = elsewhere(remote)
    commit(pod.root, "mine.txt", "mine\n")
    assert not pod("git.push").ok
    assert not pod("git.push", force=True).ok, "what was not fetched is not replaced"
    assert git(remote, "rev-parse", "main") == theirs
    assert pod("git.fetch").ok
    assert not pod("git.push").ok
    assert pod("git.push", force=True).ok
    assert git(remote, "rev-parse", "main") == git(pod.root, "rev-parse", "HEAD")


def test_fetch_of_all_of_one_and_of_a_tag(pod: Tools, remote: Path):
    theirs = elsewhere(remote)
    git(remote, "tag", "v1", theirs)
    git(remote, "branch", "second", theirs)
    assert pod("git.fetch", ref="second").ok
    assert git(pod.root, "rev-parse", "origin/second") == theirs
    assert git(pod.root, "rev-parse", "origin/main") != theirs
    assert pod("git.fetch", ref="v1").ok
    assert git(pod.root, "rev-parse", "v1") == theirs
    assert pod("git.fetch").ok
    assert git(pod.root, "rev-parse", "origin/main") == theirs
    assert "missing" in str(pod("git.fetch", ref="missing").error)


def test_pull_merges_or_leaves_everything_as_it_was(pod: Tools, remote: Path):
    theirs = elsewhere(remote)
    commit(pod.root, "mine.txt", "mine\n")
    assert pod("git.pull", branch="main").edited
    assert (pod.root / "theirs.txt").exists()
    assert theirs in git(pod.root, "log", "--format=%H")
    elsewhere(remote, "mine.txt", "not mine\n")
    before = git(pod.root, "rev-parse", "HEAD")
    result = pod("git.pull", branch="main")
    assert "CONFLICT" in str(result.error) or "not merged" in str(result.error)
    assert git(pod.root, "rev-parse", "HEAD") == before
    assert git(pod.root, "status", "--porcelain") == ""
    assert not pod("git.pull").ok, "the remote has no branch agent"


def test_a_clone_is_a_new_folder_that_stays_out_of_commits(pod: Tools, remote: Path):
    result = pod("git.clone", url=str(remote), branch="main", depth=1)
    assert result.ok, result.error
    assert (pod.root / "remote" / "utils.py").exists()
    assert list((pod.root / "remote" / ".git").glob("hooks/*")) == []
    pod("git.add", paths="all")
    assert git(pod.root, "status", "--porcelain") == ""
    assert "there already" in str(pod("git.clone", url=str(remote)).error)


def test_a_clone_that_fails_leaves_nothing(pod: Tools, remote: Path):
    assert not pod("git.clone", url=str(remote), branch="missing").ok
    assert not (pod.root / "remote").exists()


FOREIGN = [
    "https://github.com/a/b.git",
    "ssh://git@github.com/a/b.git",
    "git@github.com:a/b.git",
    "ext::sh -c touch% marker",
    "file:///workspace/remote.git",
    "http://127.0.0.1/a.git",
    "git://127.0.0.1/a.git",
    "/etc",
    "../remote.git",
    "--upload-pack=touch marker",
    "-u",
    "https://-x/a.git",
    "fd::17",
    "",
]


@pytest.mark.parametrize("url", FOREIGN)
def test_only_listed_addresses_are_cloned(pod: Tools, remote: Path, url: str):
    before = sorted(path.name for path in pod.root.iterdir())
    for address in (url, f"{remote}/", f"{remote}/../remote.git"):
        assert not pod("git.clone", url=address).ok
    assert sorted(path.name for path in pod.root.iterdir()) == before


@pytest.mark.parametrize("url", FOREIGN)
def test_an_origin_that_was_changed_is_not_talked_to(pod: Tools, url: str, tmp_path: Path):
    git(pod.root, "config", "remote.origin.url", url)
    for operation in ("git.push", "git.fetch", "git.pull"):
        assert not pod(operation).ok
    assert list(tmp_path.rglob("marker")) == []


def test_a_second_address_and_a_push_address_are_not_used(pod: Tools, tmp_path: Path):
    other = tmp_path / "other.git"
    git(tmp_path, "init", "--quiet", "--bare", str(other))
    git(pod.root, "config", "remote.origin.pushurl", str(other))
    git(pod.root, "config", f"url.{other}.insteadOf", str(tmp_path / "remote.git"))
    assert pod("git.push").ok
    git(pod.root, "config", "--add", "remote.origin.url", str(other))
    assert pod("git.push").denied
    assert git(other, "for-each-ref") == ""


@pytest.mark.parametrize("operation", ["git.push", "git.fetch", "git.pull"])
@pytest.mark.parametrize("remote_name", ["upstream", "--upload-pack=touch marker; git-upload-pack"])
def test_there_is_one_remote(pod: Tools, operation: str, remote_name: str, tmp_path: Path):
    assert "remote" in str(pod(operation, remote=remote_name).error)
    assert list(tmp_path.rglob("marker")) == []


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_refspec_is_never_the_models(pod: Tools, remote: Path, name: str):
    before = git(remote, "for-each-ref")
    for operation, arguments in (
        ("git.push", {"branch": name}),
        ("git.push", {"branch": name, "force": True}),
        ("git.pull", {"branch": name}),
        ("git.fetch", {"ref": name}),
        ("git.clone", {"url": str(remote), "branch": name}),
    ):
        assert not pod(operation, **arguments).ok, operation
    assert git(remote, "for-each-ref") == before


def test_without_a_list_nothing_is_reached(make_tools: MakeTools, remote: Path):
    tools = make_tools()
    make_remote(remote, tools.root)
    for operation in ("git.push", "git.fetch", "git.pull"):
        assert tools(operation).denied
    assert tools("git.clone", url=str(remote)).denied


def test_a_remote_that_is_a_link_is_not_used(pod: Tools, remote: Path):
    remote.rename(remote.with_name("moved"))
    remote.symlink_to(remote.with_name("moved"))
    assert "no git folder" in str(pod("git.push").error)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    certificates = make_certificates(tmp_path / "certs")
    root = tmp_path / "served"
    root.mkdir()
    make_remote(root / "demo.git", make_repository(tmp_path / "seed"))
    git(root / "demo.git", "config", "http.receivepack", "true")
    with git_server(root, certificates, auth=False) as running:
        yield running


@pytest.fixture
def local(make_tools: MakeTools, server: GitServer, tmp_path: Path) -> Tools:
    """A workspace whose origin is a real https server."""
    url = server.url("demo.git")
    tools = make_tools(remotes=Remotes((url,), tmp_path / "certs" / "ca.crt"))
    git(tools.root, "config", "remote.origin.url", url)
    return tools


def test_every_operation_works_over_https(local: Tools, server: GitServer):
    assert local("git.fetch").ok
    made = commit(local.root, "new.txt", "new\n")
    assert local("git.push").ok
    assert server.git("demo.git", "rev-parse", "agent") == made
    assert local("git.pull", branch="agent").ok
    cloned = local("git.clone", url=server.url("demo.git"), branch="main", depth=1)
    assert cloned.ok, cloned.error
    assert git(local.root / "demo", "log", "--format=%s") == "Start"


def test_no_proxy_of_the_repository_is_used(local: Tools, server: GitServer):
    url = server.url("demo.git")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for key in ("http.proxy", f"http.{url}.proxy", "remote.origin.proxy"):
            git(local.root, "config", key, proxy)
        plain = subprocess.Popen(
            ["git", "fetch", url], cwd=local.root, env=GIT_ENV, stderr=subprocess.DEVNULL
        )
        listener.accept()[0].close()
        assert plain.wait(timeout=20) != 0, "plain git asks the proxy"
        fetched = local("git.fetch")
        assert fetched.ok, fetched.error
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_bad_day_of_the_server_is_a_result(local: Tools, server: GitServer):
    server.fail_with += [500, 403]
    assert "500" in str(local("git.fetch").error)
    assert "403" in str(local("git.push").error)


def test_an_unknown_authority_is_not_trusted(make_tools: MakeTools, server: GitServer):
    url = server.url("demo.git")
    tools = make_tools(remotes=Remotes((url,)))
    assert "certificate" in str(tools("git.clone", url=url).error)
    assert not (tools.root / "demo").exists()


def test_a_read_only_run_leaves_workspace_and_remote_as_they_were(
    make_tools: MakeTools, remote: Path
):
    tools = make_tools(remotes=Remotes((str(remote),)), read_only=True, role=None)
    make_remote(remote, tools.root)
    (tools.root / "loose.txt").write_text("x\n")
    before = everything(remote.parent / "repo"), everything(remote)
    values = {"path": "utils.py", "file1": "utils.py", "pattern": "def", "url": str(remote)}
    values |= {"ref": "HEAD", "delete": "agent", "branch": "new", "message": "x", "content": "x"}
    for operation in CATALOGUE:
        fields = operation.params.model_fields
        for arguments in ({}, {name: text for name, text in values.items() if name in fields}):
            tools(operation.key, **arguments)
    assert (everything(remote.parent / "repo"), everything(remote)) == before


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.lstat().st_mode, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }
