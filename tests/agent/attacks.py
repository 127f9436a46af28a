"""Ways to make git run a program, or write elsewhere, by what lies in a repository.

Each plants a command that leaves a mark, and names a call of plain git that trips over
it: an attack that does not work there would prove nothing about the operations.
What git honours only in a user's configuration (`uploadpack.packObjectsHook`,
`init.templateDir`, `trace2.*`) is planted there, where a repository's tests can write.
"""

import subprocess

from tests.agent.attackyard import ATTRIBUTES, FILES, Attack, Lay, Yard, nothing
from tests.agent.projects import GIT_ENV, git, make_repository, planted_hooks


def _hooks(folder: str) -> Lay:
    return lambda yard: planted_hooks(yard.base / folder, yard.command)


def _file(name: str, text: str, empty: str = "") -> Lay:
    """Write a file, and empty another one that would come before it."""

    def lay(yard: Yard) -> None:
        known = {"command": yard.command, "elsewhere": yard.base / "elsewhere"}
        (yard.base / name).write_text(text.format(**known))
        if empty:
            (yard.base / empty).write_text("")

    return lay


def _included_hooks(yard: Yard) -> None:
    _file("more", "[core]\n\thooksPath = {elsewhere}\n")(yard)
    planted_hooks(yard.base / "elsewhere", yard.command)


def _ext_origin(yard: Yard) -> None:
    git(yard.root, "config", "--replace-all", "remote.origin.url", f"ext::{yard.command}")


def _elsewhere(yard: Yard) -> None:
    """Make another repository whose configuration runs the command."""
    folder = yard.base / "elsewhere"
    if not folder.exists():
        make_repository(folder, FILES)
        with (folder / ".git" / "config").open("a", encoding="utf-8") as file:
            file.write(FSMONITOR.format(command=yard.command))


def _leading_elsewhere(how: str) -> Lay:
    """Replace the git folder, or part of it, by something that leads to the other one."""

    def lay(yard: Yard) -> None:
        _elsewhere(yard)
        target, ours = yard.base / "elsewhere" / ".git", yard.root / ".git"
        if how == "commondir":
            (ours / "commondir").write_text(f"{target}\n")
        elif ours.is_dir() and not ours.is_symlink():
            ours.rename(yard.base / "moved")
            if how == "file":
                ours.write_text(f"gitdir: {target}\n")
            else:
                ours.symlink_to(target)

    return lay


def _alternates(folder: str) -> Lay:
    """Borrow another repository's objects, so that git asks which refs it has."""

    def lay(yard: Yard) -> None:
        _elsewhere(yard)
        info = yard.base / folder / "objects" / "info"
        info.mkdir(exist_ok=True)
        (info / "alternates").write_text(f"{yard.base / 'elsewhere' / '.git' / 'objects'}\n")

    return lay


def _checked_out_remote(yard: Yard) -> None:
    """Give the remote files of its own, of the branch that is pushed."""
    (yard.remote / "HEAD").write_text("ref: refs/heads/agent\n")


def _conflict(yard: Yard) -> None:
    """Leave a merge half done; it cannot be begun again over what is not committed."""
    argv = ["git", "merge", "--quiet", "theirs"]
    subprocess.run(argv, cwd=yard.root, env=GIT_ENV, capture_output=True, timeout=30, check=False)


def _template(yard: Yard) -> None:
    folder = yard.base / "template"
    folder.mkdir(exist_ok=True)
    planted_hooks(folder / "hooks", yard.command)


def _nested(config: str, more: str = "") -> Lay:
    """Put a repository into the workspace, as a submodule with a change in it."""

    def lay(yard: Yard) -> None:
        nested = yard.root / "vendor"
        if not nested.exists():
            make_repository(nested, {"x.txt": "x\n", ".gitattributes": ATTRIBUTES})
            git(yard.root, "add", "--all")
            git(yard.root, "commit", "--quiet", "--message=With a nested repository")
            (nested / "x.txt").write_text("y\n")
            git(nested, "commit", "--quiet", "--all", "--message=More")
        (nested / "x.txt").write_text("z\n")  # Of the same size: git must look at the content.
        with (nested / ".git" / "config").open("a", encoding="utf-8") as file:
            file.write(config.format(command=yard.command, remote=yard.remote))
        planted_hooks(nested / ".git" / "hooks", yard.command)
        (yard.root / ".gitmodules").write_text(SUBMODULE)
        with (yard.root / ".git" / "config").open("a", encoding="utf-8") as file:
            file.write(NESTED + more.format(command=yard.command))

    return lay


def _signed_commit(yard: Yard) -> None:
    """Put a commit that claims a signature on top of the branch."""
    tree, parent = (git(yard.root, "rev-parse", name) for name in ("HEAD^{tree}", "HEAD"))
    who = "Ada <ada@example.org> 1700000000 +0000"
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n"
    text = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n{signature}\nSigned\n"
    path = yard.base / "commit"
    path.write_text(text)
    git(yard.root, "update-ref", "HEAD", git(yard.root, "hash-object", "-tcommit", "-w", str(path)))


def _missing_object(yard: Yard) -> None:
    """Lose the content of a file, so that git would ask the remote that promised it."""
    name = git(yard.root, "rev-parse", "HEAD~1:both.txt")
    (yard.root / ".git" / "objects" / name[:2] / name[2:]).unlink(missing_ok=True)


FSMONITOR = "[core]\n\tfsmonitor = {command}\n"
SUBMODULE = '[submodule "vendor"]\n\tpath = vendor\n\turl = ./vendor\n\tignore = none\n'
NESTED = '[submodule "vendor"]\n\tactive = true\n\turl = ./vendor\n\tignore = none\n'
CREDENTIAL = b"protocol=https\nhost=example.org\n\n"
EXT = '[protocol]\n\tallow = always\n[protocol "ext"]\n\tallow = always\n'
STATUS, COMMIT = ("status",), ("commit", "--allow-empty", "--message=x")
CHECKED_OUT = """[core]\n\tbare = false\n\tworktree = {outside}
[receive]\n\tdenyCurrentBranch = updateInstead
[filter "evil"]\n\tsmudge = {command}
"""
TOOL = 'tool "evil"]\n\tcmd = {command}\n\ttrustExitCode = true\n'
SIGNING = "[commit]\n\tgpgSign = true\n[user]\n\tsigningKey = x\n[gpg]\n"

ATTACKS = (
    Attack("hooks", (COMMIT, STATUS, ("switch", "friend"), ("merge", "friend"), ("add", "."),
                     ("commit", "--amend", "-mx"), ("fetch", "{remote}", "friend:a"),
                     ("push", "{remote}", "HEAD:a")), lay=_hooks("repo/.git/hooks")),
    Attack("hooks elsewhere", (COMMIT,), "[core]\n\thooksPath = {outside}/../h\n", lay=_hooks("h")),
    Attack("fsmonitor", (STATUS,), FSMONITOR),
    Attack("editor", (("commit", "--allow-empty"),), "[core]\n\teditor = {command}\n"),
    Attack("pager", (("log",),), "[core]\n\tpager = {command}\n", terminal=True),
    Attack("pager of a command", (("log",),), "[pager]\n\tlog = {command}\n", terminal=True),
    Attack("ssh command", (("fetch", "ssh://x/y"),), "[core]\n\tsshCommand = {command}\n"),
    Attack("git proxy", (("fetch", "git://127.0.0.1/y"),), "[core]\n\tgitProxy = {command}\n"),
    Attack("ask for a password", (("credential", "fill"),), "[core]\n\taskPass = {command}\n",
           stdin=CREDENTIAL),
    Attack("credential helper", (("credential", "fill"),), "[credential]\n\thelper = {command}\n",
           stdin=CREDENTIAL),
    Attack("credential helper of a host", (("credential", "fill"),),
           '[credential "https://example.org"]\n\thelper = !{command}\n', stdin=CREDENTIAL),
    Attack("refs of alternates", (("fetch", "{remote}", "friend:a"),),
           "[core]\n\talternateRefsCommand = {command}\n", lay=_alternates("repo/.git")),
    Attack("external diff", (("diff",),), "[diff]\n\texternal = {command}\n"),
    Attack("diff driver", (("diff",),), '[diff "evil"]\n\tcommand = {command}\n'),
    Attack("textconv", (("diff",), ("log", "--patch"), ("blame", "utils.py")),
           '[diff "evil"]\n\ttextconv = {command}\n'),
    Attack("clean filter", (("add", "."), ("diff",), STATUS),
           '[filter "evil"]\n\tclean = {command}\n'),
    Attack("smudge filter", (("restore", "."), ("switch", "-f", "friend"), ("merge", "friend")),
           '[filter "evil"]\n\tsmudge = {command}\n'),
    Attack("filter process", (("add", "."),), '[filter "evil"]\n\tprocess = {command}\n'),
    Attack("filter by info/attributes", (("add", "."),), '[filter "mine"]\n\tclean = {command}\n',
           lay=_file("repo/.git/info/attributes", "* filter=mine\n")),
    Attack("filter by an attributes file", (("add", "."),), '[filter "mine"]\n\tclean = {command}\n'
           "[core]\n\tattributesFile = {outside}/../a\n",
           lay=_file("a", "* filter=mine\n", "repo/.gitattributes")),
    Attack("merge driver", (("merge", "theirs"),), '[merge "evil"]\n\tdriver = {command}\n'),
    Attack("default merge driver", (("merge", "theirs"),),
           '[merge]\n\tdefault = mine\n[merge "mine"]\n\tdriver = {command}\n',
           lay=_file("repo/.gitattributes", "")),
    Attack("signing", (COMMIT,), SIGNING + "\tprogram = {command}\n"),
    Attack("signing by OpenPGP", (COMMIT,), SIGNING + '[gpg "openpgp"]\n\tprogram = {command}\n'),
    Attack("signing by ssh", (COMMIT,),
           SIGNING + '\tformat = ssh\n[gpg "ssh"]\n\tprogram = {command}\n'),
    Attack("signing by x509", (COMMIT,),
           SIGNING + '\tformat = x509\n[gpg "x509"]\n\tprogram = {command}\n'),
    Attack("key for signing by ssh", (COMMIT,),
           "[commit]\n\tgpgSign = true\n[gpg]\n\tformat = ssh\n"
           '[gpg "ssh"]\n\tdefaultKeyCommand = {command}\n'),
    Attack("signatures in the log", (("log",),),
           "[log]\n\tshowSignature = true\n[gpg]\n\tprogram = {command}\n", lay=_signed_commit),
    Attack("alias", (("evil",),), "[alias]\n\tevil = !{command}\n"),
    Attack("include", (STATUS,), "[include]\n\tpath = {outside}/../more\n",
           lay=_file("more", FSMONITOR)),
    Attack("conditional include", (STATUS,), '[includeIf "gitdir:/"]\n\tpath = {outside}/../more\n',
           lay=_file("more", FSMONITOR)),
    Attack("include by branch", (STATUS,),
           '[includeIf "onbranch:**"]\n\tpath = {outside}/../more\n',
           lay=_file("more", FSMONITOR)),
    Attack("configuration of the worktree", (STATUS,), "[extensions]\n\tworktreeConfig = true\n",
           lay=_file("repo/.git/config.worktree", FSMONITOR)),
    Attack("another worktree", (("checkout", "--", "."),), "[core]\n\tworktree = {outside}\n"),
    Attack("common folder", (STATUS,), lay=_leading_elsewhere("commondir")),
    Attack("git folder that is a file", (STATUS,), lay=_leading_elsewhere("file"), fails=("*",)),
    Attack("git folder that is a link", (STATUS,), lay=_leading_elsewhere("link"), fails=("*",)),
    Attack("ext transport as origin", (("fetch",),), EXT, lay=_ext_origin,
           fails=("git.fetch", "git.push", "git.pull")),
    Attack("ext transport by another name", (("fetch", "{remote}"),),
           EXT + '[url "ext::{command} "]\n\tinsteadOf = {remote}\n'),
    Attack("ext transport for push", (("push", "{remote}"),),
           EXT + '[url "ext::{command} "]\n\tpushInsteadOf = {remote}\n'),
    Attack("push address", (("push", "origin", "HEAD:a"),),
           EXT + '[remote "origin"]\n\tpushurl = ext::{command}\n'),
    Attack("transport named by the remote", (("fetch", "evil"),),
           EXT + '[remote "evil"]\n\tvcs = ext\n\turl = {command}\n'),
    Attack("upload-pack", (("fetch",),), '[remote "origin"]\n\tuploadpack = {command}\n'),
    Attack("receive-pack", (("push", "origin", "HEAD:a"),),
           '[remote "origin"]\n\treceivepack = {command}\n'),
    Attack("remote that promised objects", (("cat-file", "-p", "HEAD~1:both.txt"),),
           "[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\tpartialClone = evil\n"
           '[remote "evil"]\n\turl = {remote}\n\tpromisor = true\n\tuploadpack = {command}\n',
           lay=_missing_object, fails=("git.pull",)),
    Attack("trailer", (("interpret-trailers",),), '[trailer "x"]\n\tcommand = {command}\n',
           stdin=b"x"),
    Attack("trailer of a commit", (("commit", "--allow-empty", "-mx", "--trailer=x:y"),),
           '[trailer "x"]\n\tcmd = {command}\n'),
    Attack("editor of a rebase", (("rebase", "-i", "HEAD~1", "--autostash"),),
           "[sequence]\n\teditor = {command}\n"),
    Attack("archive format", (("archive", "--format=evil", "HEAD"),),
           '[tar "evil"]\n\tcommand = {command}\n'),
    Attack("nested repository", (STATUS,), lay=_nested(FSMONITOR)),
    Attack("filter of a nested repository", (STATUS,),
           lay=_nested('[filter "evil"]\n\tclean = {command}\n')),
    Attack("diff of a nested repository", (("diff",),),
           lay=_nested(FSMONITOR, "[diff]\n\tsubmodule = diff\n")),
    Attack("update of a submodule", (("submodule", "update"),),
           lay=_nested("", "\tupdate = !{command}\n[submodule]\n\trecurse = true\n")),
    Attack("fetch into a submodule", (("fetch", "--recurse-submodules", "origin"),),
           lay=_nested('[remote "origin"]\n\turl = {remote}\n\tuploadpack = {command}\n',
                       "[fetch]\n\trecurseSubmodules = true\n")),
    Attack("remote's hooks", (("push", "{remote}", "HEAD:a"),), lay=_hooks("remote.git/hooks")),
    Attack("remote's hooks elsewhere", (("push", "{remote}", "HEAD:a"),),
           remote_config="[core]\n\thooksPath = {outside}/../h\n", lay=_hooks("h")),
    Attack("remote's proc-receive hook", (("push", "{remote}", "HEAD:refs/heads/a"),),
           remote_config="[receive]\n\tprocReceiveRefs = refs/heads\n",
           lay=_hooks("remote.git/hooks")),
    Attack("refs of the remote's alternates", (("push", "{remote}", "HEAD:a"),),
           remote_config="[core]\n\talternateRefsCommand = {command}\n",
           lay=_alternates("remote.git")),
    Attack("remote's include", (("push", "{remote}", "HEAD:a"),),
           remote_config="[include]\n\tpath = {outside}/../more\n",
           lay=_included_hooks),
    Attack("filter of a remote that is checked out", (("push", "{remote}", "HEAD:agent"),),
           remote_config=CHECKED_OUT, lay=_checked_out_remote),
    Attack("what the remote packs with", (("clone", "--no-local", "{remote}", "{elsewhere}"),),
           user_config="[uploadpack]\n\tpackObjectsHook = {command}\n"),
    Attack("template of a user", (("clone", "{remote}", "{elsewhere}"),),
           user_config="[init]\n\ttemplateDir = {outside}/../template\n", lay=_template),
    Attack("hooks of a user", (COMMIT,),
           user_config="[core]\n\thooksPath = {outside}/../template/hooks\n", lay=_template),
    Attack("filter of a user", (("add", "."),),
           user_config='[filter "evil"]\n\tclean = {command}\n'),
    Attack("trace of a user", (STATUS,),
           user_config="[trace2]\n\tnormalTarget = {outside}/trace\n"),
    Attack("filter of an interactive diff", (("commit", "--patch", "-mx"),),
           "[interactive]\n\tdiffFilter = {command}\n[color]\n\tui = always\n", stdin=b"q\n"),
    Attack("diff tool", (("difftool", "--no-prompt", "--tool=evil"),), "[diff" + TOOL),
    Attack("merge tool", (("mergetool", "--no-prompt", "--tool=evil"),), "[merge" + TOOL,
           lay=_conflict, fails=("git.checkout", "git.pull", "git.restore")),
)  # fmt: skip

TOGETHER = 8
_TEXTS = [attack for attack in ATTACKS if attack.config and attack.lay is nothing]
_OF_A_USER = [attack for attack in ATTACKS if attack.user_config]
BUNDLES = (
    *([attack] for attack in ATTACKS if attack not in (*_TEXTS, *_OF_A_USER)),
    _OF_A_USER,
    *(_TEXTS[first::TOGETHER] for first in range(TOGETHER)),
)
"""Those that are settings only, several at a time; neighbours in the list above hide each
other (a filter's process its commands, one way of signing another) and are kept apart."""
