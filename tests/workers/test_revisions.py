"""The base: found by its name, checked out outside of the user's tree, and removed.

The repositories are real ones, copied from templates. A comparison may change nothing in them.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_hiddencost.core.errors import GitError, InterleavingError
from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers import revisions
from pytest_hiddencost.workers.revisions import Base, Tree, materialised, resolve
from tests.repositories import commit, git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def nobodys_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use no configuration of the person who runs the tests, and a temporary folder of its own."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("temporary")))
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    made = Reaper()
    yield made
    made.close()


Copying = Callable[[Path], Path]


@pytest.fixture(scope="module")
def two_commits(tmp_path_factory: pytest.TempPathFactory) -> Copying:
    """Makes a repository whose file says ``one``, and ``two`` in a later commit."""
    template = tmp_path_factory.mktemp("template") / "project"
    template.mkdir()
    for text in ("one", "two"):
        (template / "file").write_text(text)
        commit(template, text)
    return copying(template)


def copying(template: Path) -> Copying:
    def copy(top: Path) -> Path:
        return Path(shutil.copytree(template, top, symlinks=True))

    return copy


@pytest.fixture
def top(tmp_path: Path, two_commits: Copying) -> Path:
    return two_commits(tmp_path / "project")


def sha(top: Path, name: str) -> str:
    return git(top, "rev-parse", f"{name}^{{commit}}").strip()


def made(top: Path, reaper: Reaper, name: str = "HEAD~1", *conftests: Path) -> Tree:
    return materialised(resolve(name, top, top), reaper, conftests)


# --- names of revisions -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["main", "HEAD", "release", "v1", "sha", "short", "HEAD~1", "@"])
def test_a_name_that_git_knows_is_a_revision(top: Path, name: str) -> None:
    git(top, "branch", "release", "HEAD~1")
    git(top, "tag", "--annotate", "--message=first", "v1", "HEAD~1")
    name = {"sha": sha(top, "HEAD"), "short": sha(top, "HEAD")[:9]}.get(name, name)
    found = resolve(name, top, top)
    assert found == Base(name, top, commit=sha(top, name))


def test_branches_with_slashes_and_other_letters_are_revisions(top: Path) -> None:
    for name in ("feature/fast", "größer"):
        git(top, "branch", name, "HEAD~1")
        assert resolve(name, top, top).commit == sha(top, "HEAD~1")


def test_a_branch_comes_before_a_folder_of_its_name(top: Path) -> None:
    git(top, "branch", "old", "HEAD~1")
    (top / "old").mkdir()
    assert resolve("old", top, top) == Base("old", top, commit=sha(top, "HEAD~1"))
    assert resolve("./old", top, top) == Base("./old", top, folder=top / "old")


def test_a_rootdir_below_the_top_is_in_the_same_repository(top: Path) -> None:
    root = top / "python" / "project"
    root.mkdir(parents=True)
    found = resolve("HEAD~1", root, root)
    assert found == Base("HEAD~1", top, commit=sha(top, "HEAD~1"))


def test_a_run_in_a_linked_worktree_compares_that_tree(top: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(top, "worktree", "add", "--quiet", "--detach", str(linked), "HEAD~1")
    assert resolve("main", linked, linked) == Base("main", linked, commit=sha(top, "main"))
    assert resolve("HEAD", linked, linked).commit == sha(top, "HEAD~1")


@pytest.mark.parametrize(
    "name", ["nowhere", "HEAD~99", "0" * 40, "gone:file", "gone..HEAD", "x" * 300]
)
def test_an_unknown_name_is_refused_with_what_could_be_given(top: Path, name: str) -> None:
    with pytest.raises(InterleavingError) as caught:
        resolve(name, top, top)
    assert str(caught.value) == (
        f"{name!r} is neither a revision nor a folder (no revision of {top}); give a revision such "
        "as main, a folder, or installed:PYTHON for another interpreter"
    )


@pytest.mark.parametrize("name", ["mian", "origin/main", "main:file"])
def test_an_unknown_name_is_refused_with_a_branch_of_nearly_that_name(top: Path, name: str) -> None:
    with pytest.raises(InterleavingError, match=r"did you mean main\? give a revision"):
        resolve(name, top, top)


@pytest.mark.parametrize("name", ["--all", "-h", "--output=written", "-"])
def test_a_name_is_never_an_option_of_git(top: Path, name: str) -> None:
    with pytest.raises(InterleavingError, match="neither a revision nor a folder"):
        resolve(name, top, top)
    assert not (top / "written").exists()


# --- folders and interpreters -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["other", "with space", "-dashed", "größer"])
def test_a_folder_is_relative_to_where_the_run_was_started(top: Path, name: str) -> None:
    (top.parent / name).mkdir()
    below = top / "tests"
    below.mkdir()
    expected = top.parent / name
    assert resolve(f"../{name}", top, top).folder == expected
    assert resolve(f"../../{name}", top, below).folder == expected
    assert resolve(name, top, top.parent).folder == expected
    assert resolve(str(expected), top, top).folder == expected


def test_the_tree_itself_is_refused(top: Path) -> None:
    for name in (".", "../project", str(top)):
        with pytest.raises(InterleavingError, match="is the tree that the tests run in"):
            resolve(name, top, top)
    (top.parent / "link").symlink_to(top)
    with pytest.raises(InterleavingError, match="is the tree that the tests run in"):
        resolve("../link", top, top)


def test_a_file_is_no_folder(top: Path) -> None:
    with pytest.raises(InterleavingError, match="neither a revision nor a folder"):
        resolve("file", top, top)


def test_without_a_repository_a_folder_will_do(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    root.mkdir()
    other.mkdir()
    assert resolve("../other", root, root) == Base("../other", root, folder=other)
    with pytest.raises(InterleavingError, match="is the tree that the tests run in"):
        resolve(".", root, root)


def test_without_a_repository_there_are_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(InterleavingError, match=r"'main' is neither .* is not in a git repository"):
        resolve("main", tmp_path, tmp_path)


def test_without_git_it_is_not_the_repository_that_is_missing(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(top / "nothing here"))
    with pytest.raises(InterleavingError, match="git could not be run"):
        resolve("main", top, top)


def test_a_repository_that_git_refuses_to_read_is_refused_in_its_words(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers, where the checkout often is another user's."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'fatal: detected dubious ownership' >&2\nexit 128\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent), prepend=os.pathsep)
    with pytest.raises(InterleavingError, match="detected dubious ownership"):
        resolve("main", top, top)


def test_another_interpreter_is_a_path(top: Path, reaper: Reaper) -> None:
    python = top.parent / "an env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    for name in (f"installed:{python}", "installed:../an env/bin/python"):
        found = resolve(name, top, top)
        assert found.python is not None
        assert found.python.samefile(python)
        assert (found.top, found.commit, found.folder) == (top, "", None)
        tree = materialised(found, reaper)
        assert (tree.path, Path(tree.python)) == (top, found.python)


def test_a_missing_interpreter_is_refused(top: Path) -> None:
    for name in ("nowhere/python", "."):
        with pytest.raises(InterleavingError, match="no interpreter at "):
            resolve(f"installed:{name}", top, top)


def test_a_folder_is_used_as_it_is(top: Path, reaper: Reaper, two_commits: Copying) -> None:
    other = two_commits(top.parent / "other")
    tree = made(top, reaper, "../other")
    assert (tree.path, tree.remarks, tree.python) == (other, (), sys.executable)
    reaper.close()
    assert (other / "file").read_text() == "two"


# --- counterparts -------------------------------------------------------------------------------


def test_paths_have_counterparts(top: Path, tmp_path: Path) -> None:
    tree = Tree(Base("main", top), tmp_path / "base")
    assert tree.counterpart(top) == tmp_path / "base"
    assert tree.counterpart(top / "a" / "b.py") == tmp_path / "base" / "a" / "b.py"
    assert tree.counterpart(tmp_path / "project-2") == tmp_path / "project-2"


def test_a_rootdir_behind_a_link_has_a_counterpart(top: Path, reaper: Reaper) -> None:
    """Without one, both sides would run head's tests."""
    link = top.parent / "link"
    link.symlink_to(top)
    tree = materialised(resolve("HEAD~1", link, link), reaper)
    assert tree.counterpart(link / "file").read_text() == "one"


# --- what a run may not change ------------------------------------------------------------------


def dirty(top: Path) -> None:
    """Make changes: staged, not staged, deleted, untracked, and stashed."""
    (top / "stashed").write_text("stashed")
    git(top, "add", "stashed")
    git(top, "stash", "--quiet")
    (top / "staged").write_text("staged")
    git(top, "add", "staged")
    (top / "file").write_text("changed and staged")
    git(top, "add", "file")
    (top / "file").write_text("changed again")
    (top / ".gitignore").unlink()
    (top / "unknown").write_text("untracked")


def state(top: Path) -> dict[str, object]:
    index = (top / ".git" / "index").read_bytes()
    return {
        "index": index,
        "head": (top / ".git" / "HEAD").read_bytes(),
        "refs": git(top, "for-each-ref"),
        "stash": git(top, "stash", "list", "--format=%H %gs"),
        "status": git(top, "--no-optional-locks", "status", "--porcelain=v2", "--ignored"),
        "files": {
            str(path.relative_to(top)): path.read_bytes()
            for path in top.rglob("*")
            if path.is_file() and ".git" not in path.parts
        },
        "config": (top / ".git" / "config").read_bytes(),
        "reflog": git(top, "reflog"),
    }


@pytest.mark.parametrize("detached", [False, True])
def test_the_users_tree_is_as_it_was(top: Path, reaper: Reaper, detached: bool) -> None:
    if detached:
        git(top, "checkout", "--quiet", "--detach")
    dirty(top)
    before = state(top)
    tree = made(top, reaper)
    assert state(top) == before
    assert (tree.path / "file").read_text() == "one"
    assert sorted(os.listdir(tree.path)) == [".git", ".gitignore", "file"]
    assert git(tree.path, "status", "--porcelain") == ""
    assert not tree.path.is_relative_to(top)
    reaper.close()
    assert state(top) == before
    assert len(git(top, "worktree", "list").splitlines()) == 1


def test_nothing_is_left_of_the_checkout(top: Path, reaper: Reaper) -> None:
    tree = made(top, reaper)
    (tree.path / "made by a test").write_text("x")
    (tree.path / "file").write_text("changed by a test")
    reaper.close()
    assert not tree.path.exists()
    assert not tree.path.parent.exists()


def test_the_branch_that_is_checked_out_can_be_compared_with(top: Path, reaper: Reaper) -> None:
    (top / "file").write_text("three")
    tree = made(top, reaper, "main")
    assert (tree.path / "file").read_text() == "two"
    assert git(top, "symbolic-ref", "HEAD").strip() == "refs/heads/main"


def test_two_checkouts_at_once_are_two(top: Path, reaper: Reaper) -> None:
    one, other = made(top, reaper, "HEAD~1"), made(top, reaper, "HEAD")
    assert one.path != other.path
    assert [(tree.path / "file").read_text() for tree in (one, other)] == ["one", "two"]
    reaper.close()
    assert len(git(top, "worktree", "list").splitlines()) == 1


def test_the_tree_has_the_name_of_the_users(top: Path, reaper: Reaper) -> None:
    """A program that derives a name from its folder derives the same name."""
    assert made(top, reaper).path.name == top.name


def test_a_comparison_in_a_linked_worktree_leaves_it_there(
    top: Path, tmp_path: Path, reaper: Reaper
) -> None:
    linked = tmp_path / "linked"
    git(top, "worktree", "add", "--quiet", "--detach", str(linked))
    before = git(top, "worktree", "list", "--porcelain")
    assert (made(linked, reaper).path / "file").read_text() == "one"
    reaper.close()
    assert git(top, "worktree", "list", "--porcelain") == before


def test_hooks_are_not_run(top: Path, reaper: Reaper) -> None:
    for name in ("post-checkout", "post-index-change", "reference-transaction"):
        hook = top / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {top.parent}/hooks_run\n")
        hook.chmod(0o755)
    assert (made(top, reaper).path / "file").read_text() == "one"
    assert not (top.parent / "hooks_run").exists()


def test_within_a_hook_the_index_it_works_on_is_left_alone(
    top: Path, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirty(top)
    index = top / ".git" / "next-index.lock"
    shutil.copy(top / ".git" / "index", index)
    before, content = state(top), index.read_bytes()
    with monkeypatch.context() as patched:
        patched.setenv("GIT_DIR", ".git")
        patched.setenv("GIT_WORK_TREE", str(top))
        patched.setenv("GIT_INDEX_FILE", str(index))
        patched.setenv("GIT_PREFIX", "")
        tree = made(top, reaper)
        assert (tree.path / "file").read_text() == "one"
        reaper.close()
    assert state(top) == before
    assert index.read_bytes() == content
    assert not tree.path.exists()


@pytest.mark.parametrize(
    "name", ["with space", " before", "after ", "größer", "new\nline", "-dash"]
)
def test_a_repository_may_have_any_name(
    tmp_path: Path, reaper: Reaper, two_commits: Copying, name: str
) -> None:
    top = two_commits(tmp_path / name)
    tree = made(top, reaper)
    assert (tree.path / "file").read_text() == "one"
    reaper.close()
    assert not tree.path.exists()
    assert len(list((top / ".git").glob("worktrees/*"))) == 0


def test_a_failure_of_git_is_an_error_in_its_words(top: Path, reaper: Reaper) -> None:
    blob = git(top, "rev-parse", "HEAD~1:file").strip()
    stored = top / ".git" / "objects" / blob[:2] / blob[2:]
    stored.chmod(0o644)
    stored.unlink()
    with pytest.raises(GitError, match=r"^git .*: \S"):
        made(top, reaper)
    reaper.close()
    assert len(git(top, "worktree", "list").splitlines()) == 1
    assert os.listdir(tempfile.gettempdir()) == []


def test_a_commit_that_is_gone_is_an_error_in_gits_words(top: Path, reaper: Reaper) -> None:
    gone = Base("gone", top, commit="1" * 40)
    with pytest.raises(GitError, match=r"^git -c .* worktree add: .*1{40}"):
        materialised(gone, reaper)
    assert os.listdir(tempfile.gettempdir()) == [], "its folder is removed at once"


def test_a_worktree_that_cannot_be_filled_is_removed_at_once(
    top: Path, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(revisions, "_taken_along", full)
    with pytest.raises(InterleavingError, match=r"files of HEAD~1 cannot be written: .*No space"):
        made(top, reaper)
    assert os.listdir(tempfile.gettempdir()) == []
    assert len(git(top, "worktree", "list").splitlines()) == 1


def test_a_machine_without_room_for_temporary_files_is_an_error(
    top: Path, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(top / "nowhere"))
    with pytest.raises(InterleavingError, match=r"no temporary folder can be made: .*nowhere"):
        made(top, reaper)


# --- conftest.py files that are not committed ---------------------------------------------------


def test_a_conftest_that_git_does_not_know_is_taken_along(top: Path, reaper: Reaper) -> None:
    (top / "conftest.py").write_text("as it is")
    tree = made(top, reaper, "HEAD~1", top / "conftest.py")
    assert (tree.path / "conftest.py").read_text() == "as it is"
    assert tree.remarks == ("conftest.py is not committed: taken along as it is",)


def test_an_ignored_conftest_is_taken_along(top: Path, reaper: Reaper) -> None:
    (top / ".gitignore").write_text("conftest.py\n")
    commit(top, "ignored")
    (top / "conftest.py").write_text("as it is")
    tree = made(top, reaper, "HEAD", top / "conftest.py")
    assert (tree.path / "conftest.py").read_text() == "as it is"


def test_a_committed_conftest_is_that_of_the_revision(top: Path, reaper: Reaper) -> None:
    for text in ("old", "new"):
        (top / "conftest.py").write_text(text)
        commit(top, text)
    (top / "conftest.py").write_text("changed since")
    tree = made(top, reaper, "HEAD~1", top / "conftest.py")
    assert (tree.path / "conftest.py").read_text() == "old"
    assert tree.remarks == ()


def test_a_conftest_that_came_later_is_not_in_the_revision(top: Path, reaper: Reaper) -> None:
    (top / "conftest.py").write_text("later")
    commit(top, "later")
    tree = made(top, reaper, "HEAD~1", top / "conftest.py")
    assert not (tree.path / "conftest.py").exists()
    assert tree.remarks == ()


def test_a_file_of_the_revision_is_not_overwritten(top: Path, reaper: Reaper) -> None:
    (top / "conftest.py").write_text("committed once")
    commit(top, "with")
    git(top, "rm", "--quiet", "conftest.py")
    commit(top, "without")
    (top / "conftest.py").write_text("as it is")
    tree = made(top, reaper, "HEAD~1", top / "conftest.py")
    assert (tree.path / "conftest.py").read_text() == "committed once"
    assert tree.remarks == ()


def test_a_conftest_outside_of_the_tree_is_not_taken_along(top: Path, reaper: Reaper) -> None:
    outside = top.parent / "conftest.py"
    outside.write_text("outside")
    tree = made(top, reaper, "HEAD~1", outside)
    assert tree.remarks == ()
    assert sorted(os.listdir(tree.path.parent)) == [top.name]


def test_a_conftest_of_a_folder_that_the_revision_lacks_is_left(top: Path, reaper: Reaper) -> None:
    (top / "new folder").mkdir()
    conftest = top / "new folder" / "conftest.py"
    conftest.write_text("as it is")
    tree = made(top, reaper, "HEAD~1", conftest)
    assert not (tree.path / "new folder").exists()
    assert tree.remarks == ()


# --- submodules ---------------------------------------------------------------------------------


SUB = "parts/sub module"
ALLOW = ("-c", "protocol.file.allow=always")


@pytest.fixture(scope="module")
def with_submodule(tmp_path_factory: pytest.TempPathFactory, two_commits: Copying) -> Copying:
    """Makes a repository with a submodule at its first commit, and at its second a commit later."""
    folder = tmp_path_factory.mktemp("with submodule")
    source, template = two_commits(folder / "source"), two_commits(folder / "project")
    git(template, *ALLOW, "submodule", "--quiet", "add", str(source), SUB)
    git(template / SUB, "checkout", "--quiet", "HEAD~1")
    commit(template, "with a submodule")
    git(template / SUB, "checkout", "--quiet", "main")
    commit(template, "the submodule moved on")
    return copying(template)


@pytest.fixture
def super_project(tmp_path: Path, with_submodule: Copying) -> Path:
    return with_submodule(tmp_path / "project")


def test_a_submodule_is_taken_at_the_commit_of_the_revision(
    super_project: Path, reaper: Reaper
) -> None:
    top = super_project
    sub = top / SUB
    (sub / "file").write_text("changed since")
    recorded = sha(sub, "HEAD~1")
    tree = made(top, reaper)
    assert (tree.path / SUB / "file").read_text() == "one"
    assert tree.remarks == (f"submodule {SUB} is taken at {recorded[:10]}",)
    reaper.close()
    assert not tree.path.exists()
    assert (sub / "file").read_text() == "changed since"
    assert len(git(top, "worktree", "list").splitlines()) == 1


def test_a_submodule_that_is_not_checked_out_is_left_empty(
    super_project: Path, reaper: Reaper
) -> None:
    top = super_project
    recorded = git(top, "rev-parse", f"HEAD~1:{SUB}").strip()
    git(top, "submodule", "--quiet", "deinit", "--all", "--force")
    shutil.rmtree(top / ".git" / "modules")
    tree = made(top, reaper)
    assert os.listdir(tree.path / SUB) == []
    assert tree.remarks == (
        f"submodule {SUB} is left empty: {recorded[:10]} is not checked out here",
    )


def test_a_submodule_that_is_gone_now_is_left_empty(super_project: Path, reaper: Reaper) -> None:
    top = super_project
    git(top, "rm", "--quiet", "--force", SUB)
    commit(top, "without")
    [remark] = made(top, reaper).remarks
    assert remark.startswith(f"submodule {SUB} is left empty")


def test_links_in_a_submodule_are_kept_as_they_are(super_project: Path, reaper: Reaper) -> None:
    top = super_project
    links = {"inside": "file", "outside": "../file", "absolute": "/usr/share/data"}
    for name, target in links.items():
        (top / SUB / name).symlink_to(target)
    commit(top / SUB, "links")
    commit(top, "links")
    tree = made(top, reaper, "HEAD")
    assert {name: os.readlink(tree.path / SUB / name) for name in links} == links


def test_files_that_a_submodule_leaves_out_of_releases_are_there(
    super_project: Path, reaper: Reaper
) -> None:
    top = super_project
    (top / SUB / ".gitattributes").write_text("tests export-ignore\nversion export-subst\n")
    (top / SUB / "tests").write_text("tests")
    (top / SUB / "version").write_text("$Format:%H$")
    commit(top / SUB, "attributes")
    commit(top, "attributes")
    tree = made(top, reaper, "HEAD")
    assert (tree.path / SUB / "version").read_text() == "$Format:%H$"
    assert (tree.path / SUB / "tests").read_text() == "tests"


def test_a_submodule_of_a_submodule_is_taken_or_mentioned(
    super_project: Path, reaper: Reaper
) -> None:
    top = super_project
    git(top / SUB, *ALLOW, "submodule", "--quiet", "add", str(super_project), "inner")
    commit(top / SUB, "deeper")
    commit(top, "deeper")
    tree = made(top, reaper, "HEAD")
    taken = (tree.path / SUB / "inner" / "file").is_file()
    assert taken or any(f"{SUB}/inner" in remark for remark in tree.remarks)
