"""The commit that accepted a baseline entry, found in real git repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.baseline.accepted import Accepted, AcceptedCommits, NoCommit
from tests.repositories import commit, git, write

MODULE = "test_it.py"
Entries = dict[str, dict[str, Any]]


def entry(number: int) -> dict[str, Any]:
    return {"p50_ns": [number, number + 1], "created": "2026-01-01T00:00:00Z", "reason": ""}


ONE: Entries = {"test_one": {"": entry(1)}}
LONG: Entries = {f"test_{number}": {"": entry(number)} for number in range(40)}


def store(file: Path, entries: Entries, module: str = MODULE, **form: Any) -> None:
    """Write a baseline file of these entries, by test and label."""
    file.parent.mkdir(parents=True, exist_ok=True)
    document = {"format": 1, "module": module, "entries": entries}
    file.write_text(json.dumps(document, indent=form.pop("indent", 1), **form), encoding="utf-8")


def accepted(file: Path, test: str = "test_one", label: str = "") -> Accepted:
    return AcceptedCommits(file).of(test, label)


def why_none(file: Path, test: str = "test_one") -> str:
    """The finding if no commit accepted the entry; its remedy is never empty."""
    with pytest.raises(NoCommit) as caught:
        accepted(file, test)
    assert caught.value.reason.remedy
    assert str(caught.value) == caught.value.reason.found
    return caught.value.reason.found


NOT_COMMITTED = reasons.NOT_COMMITTED.filled(file=f"{MODULE}.json").found


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with one commit, and no baselines."""
    found = tmp_path / "top"
    found.mkdir()
    write(found, test_it="def test_one(): ...")
    commit(found)
    return found


@pytest.fixture
def file(top: Path) -> Path:
    return top / ".hiddencost" / "device" / f"{MODULE}.json"


# --- which commit changed the entry -------------------------------------------------------------


def test_the_commit_that_last_changed_an_entry_accepted_it(top: Path, file: Path) -> None:
    store(file, ONE)
    commit(top)
    store(file, {"test_one": {"": entry(2)}})
    second = commit(top)
    write(top, other="later = True")
    commit(top)
    assert accepted(file) == Accepted(second, MODULE, "test_one", "")


def test_a_git_that_shows_signatures_finds_the_commit(
    top: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``log.showSignature`` puts lines of gpg before the commit that ``git log`` prints."""
    store(file, ONE)
    commit(top)
    signed = git(top, "cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN SSH SIGNATURE-----\n nothing\n \n\n", 1
    )
    (top.parent / "signed").write_text(signed, encoding="utf-8")
    first = git(top, "hash-object", "-t", "commit", "-w", str(top.parent / "signed")).strip()
    git(top, "reset", "--quiet", first)
    git(top, "config", "log.showSignature", "true")
    assert git(top, "log", "-1", "--format=%H").strip() != first, "the lines are there"
    assert accepted(file).commit == first


def test_the_first_commit_of_a_repository_may_have_accepted_it(tmp_path: Path) -> None:
    file = tmp_path / "device" / f"{MODULE}.json"
    store(file, ONE)
    assert accepted_after_commit(tmp_path, file)


def accepted_after_commit(top: Path, file: Path) -> bool:
    return commit(top) == accepted(file).commit


def test_a_later_change_of_another_entry_does_not_count(top: Path, file: Path) -> None:
    both = {**ONE, "test_two": {"a": entry(2), "b": entry(3)}}
    store(file, both)
    first = commit(top)
    store(file, {**both, "test_two": {"a": entry(4), "b": entry(3)}})
    second = commit(top)
    commits = AcceptedCommits(file)
    assert commits.of("test_one", "").commit == first
    assert commits.of("test_two", "a").commit == second
    assert commits.of("test_two", "b").commit == first


def test_a_reformatted_or_sorted_file_accepts_nothing(top: Path, file: Path) -> None:
    store(file, {"test_two": {"": entry(2)}, **ONE})
    first = commit(top)
    store(file, {"test_two": {"": entry(2)}, **ONE}, indent=None)
    commit(top)
    store(file, {**ONE, "test_two": {"": entry(2)}}, sort_keys=True)
    commit(top)
    assert accepted(file).commit == first


def test_an_entry_that_returned_to_old_values_was_accepted_when_it_returned(
    top: Path, file: Path
) -> None:
    store(file, ONE)
    commit(top)
    store(file, {"test_one": {"": entry(2)}})
    commit(top)
    store(file, ONE)
    third = commit(top)
    assert accepted(file).commit == third


def test_a_broken_version_in_history_does_no_harm(top: Path, file: Path) -> None:
    store(file, ONE)
    commit(top)
    file.write_text("<<<<<<< ours", encoding="utf-8")
    commit(top)
    store(file, ONE)
    mended = commit(top)
    store(file, {**ONE, "test_two": {"": entry(2)}})
    commit(top)
    assert accepted(file).commit == mended


@pytest.mark.parametrize(
    "text", ["[]", '{"entries": []}', '{"entries": {"test_one": 3}}', "\udce9"]
)
def test_a_version_of_another_shape_does_no_harm(top: Path, file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    commit(top)
    store(file, ONE)
    assert accepted_after_commit(top, file)


def test_each_device_has_its_own_commit(top: Path, file: Path) -> None:
    store(file, ONE)
    first = commit(top)
    other = top / ".hiddencost" / "other device" / f"{MODULE}.json"
    store(other, ONE)
    second = commit(top)
    assert accepted(file).commit == first
    assert accepted(other).commit == second


def test_a_name_with_characters_that_git_reads_as_a_pattern_is_found(top: Path) -> None:
    folder = top / ".hiddencost" / "device"
    odd, alike = folder / "test_[ab]é.py.json", folder / "test_aé.py.json"
    store(odd, ONE)
    first = commit(top)
    store(alike, ONE)
    commit(top)
    assert accepted(odd).commit == first


# --- the working tree ---------------------------------------------------------------------------


def test_a_tree_that_was_dirty_at_the_recording_does_no_harm(top: Path, file: Path) -> None:
    write(top, model="fast = True")
    store(file, ONE)
    together = commit(top)
    assert accepted(file).commit == together


def test_changes_of_other_files_do_no_harm(top: Path, file: Path) -> None:
    store(file, ONE)
    first = commit(top)
    write(top, test_it="def test_one(): changed")
    git(top, "rm", "--quiet", "--cached", ".gitignore")
    assert accepted(file).commit == first


@pytest.mark.parametrize("staged", [False, True])
def test_an_entry_recorded_again_is_not_committed_yet(
    top: Path, file: Path, *, staged: bool
) -> None:
    both = {**ONE, "test_two": {"": entry(2)}}
    store(file, both)
    first = commit(top)
    store(file, {**both, "test_one": {"": entry(3)}})
    if staged:
        git(top, "add", "--all")
    assert why_none(file) == NOT_COMMITTED
    assert accepted(file, "test_two").commit == first, "its entry is as it was"


def test_a_file_that_was_never_committed_has_no_commit(top: Path, file: Path) -> None:
    store(file, ONE)
    assert why_none(file) == NOT_COMMITTED


def test_an_ignored_file_has_no_commit(top: Path, file: Path) -> None:
    store(file, ONE)
    (top / ".gitignore").write_text(".hiddencost/\n", encoding="utf-8")
    commit(top)
    assert why_none(file) == NOT_COMMITTED


def test_a_repository_without_commits_has_no_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    file = tmp_path / "device" / f"{MODULE}.json"
    store(file, ONE)
    assert why_none(file) == NOT_COMMITTED


# --- renames ------------------------------------------------------------------------------------


def renamed(top: Path, file: Path, entries: Entries) -> Path:
    """Rename the test module and its baseline file, whose entries become these."""
    later = file.with_name("test_new.py.json")
    git(top, "mv", str(top / MODULE), str(top / "test_new.py"))
    git(top, "mv", str(file), str(later))
    store(later, entries, module="test_new.py")
    return later


def test_a_renamed_module_is_found_under_its_old_name(top: Path, file: Path) -> None:
    store(file, LONG)
    first = commit(top)
    later = renamed(top, file, LONG)
    commit(top)
    assert accepted(later, "test_7") == Accepted(first, MODULE, "test_7", "")


def test_what_changed_after_the_rename_has_the_new_name(top: Path, file: Path) -> None:
    store(file, LONG)
    first = commit(top)
    later = renamed(top, file, {**LONG, "test_3": {"": entry(99)}})
    second = commit(top)
    assert accepted(later, "test_3") == Accepted(second, "test_new.py", "test_3", "")
    assert accepted(later, "test_7") == Accepted(first, MODULE, "test_7", "")


def test_a_module_that_was_renamed_twice_is_found(top: Path, file: Path) -> None:
    store(file, LONG)
    first = commit(top)
    later = renamed(top, file, LONG)
    commit(top)
    last = later.with_name("test_last.py.json")
    git(top, "mv", str(later), str(last))
    store(last, LONG, module="test_last.py")
    commit(top)
    assert accepted(last, "test_7") == Accepted(first, MODULE, "test_7", "")


# --- history that is not a line -----------------------------------------------------------------


def branches(top: Path, file: Path, ours: Entries, theirs: Entries) -> tuple[str, str]:
    """Change the file on two branches, and merge the second into the first without a commit."""
    store(file, ONE)
    commit(top)
    git(top, "checkout", "--quiet", "-b", "side")
    store(file, theirs)
    write(top, side="theirs = True")
    of_side = commit(top)
    git(top, "checkout", "--quiet", "main")
    store(file, ours)
    write(top, main="ours = True")
    of_main = commit(top)
    strategy = ("--strategy=ours",) if ours != ONE else ()
    git(top, "merge", "--quiet", "--no-commit", "--no-ff", *strategy, "side")
    return of_main, of_side


@pytest.mark.parametrize("side", ["main", "side"])
def test_a_merge_of_a_change_on_one_side_leaves_its_commit(
    top: Path, file: Path, side: str
) -> None:
    changed: Entries = {"test_one": {"": entry(2)}}
    ours, theirs = (changed, ONE) if side == "main" else (ONE, changed)
    of_main, of_side = branches(top, file, ours, theirs)
    store(file, changed)
    commit(top, "merge")
    assert accepted(file).commit == (of_main if side == "main" else of_side)


def test_a_merge_resolved_to_one_side_leaves_its_commit(top: Path, file: Path) -> None:
    ours, theirs = {"test_one": {"": entry(2)}}, {"test_one": {"": entry(3)}}
    _, of_side = branches(top, file, ours, theirs)
    store(file, theirs)
    commit(top, "merge")
    assert accepted(file).commit == of_side


def test_a_merge_that_joins_entries_of_both_sides_leaves_their_commits(
    top: Path, file: Path
) -> None:
    ours, theirs = {"test_two": {"": entry(2)}}, {"test_three": {"": entry(3)}}
    of_main, of_side = branches(top, file, {**ONE, **ours}, {**ONE, **theirs})
    store(file, {**ONE, **ours, **theirs})
    commit(top, "merge")
    assert accepted(file, "test_two").commit == of_main
    assert accepted(file, "test_three").commit == of_side


def test_a_merge_that_records_again_accepts_the_entry(top: Path, file: Path) -> None:
    ours, theirs = {"test_one": {"": entry(2)}}, {"test_one": {"": entry(3)}}
    branches(top, file, ours, theirs)
    store(file, {"test_one": {"": entry(4)}})
    assert accepted_after_commit(top, file)


def test_a_detached_head_is_as_good(top: Path, file: Path) -> None:
    store(file, ONE)
    first = commit(top)
    write(top, other="later = True")
    git(top, "checkout", "--quiet", "--detach", commit(top))
    assert accepted(file).commit == first
    git(top, "checkout", "--quiet", "main")
    store(file, {"test_one": {"": entry(2)}})
    second = commit(top)
    assert accepted(file).commit == second
    git(top, "checkout", "--quiet", "--detach", first)
    assert accepted(file).commit == first, "later commits are not in the history of this one"


@pytest.fixture
def deep(top: Path, file: Path) -> Path:
    """A repository whose entry was accepted two commits ago."""
    store(file, ONE)
    commit(top)
    store(file, {"test_one": {"": entry(2)}})
    commit(top)
    for number in range(2):
        store(file, {"test_one": {"": entry(2)}, "test_two": {"": entry(number)}})
        commit(top)
    return top


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_clone_that_is_too_shallow_says_so(deep: Path, tmp_path: Path, depth: int) -> None:
    cloned = shallow(deep, tmp_path / "clone", depth)
    assert why_none(cloned) == reasons.SHALLOW.found


def test_a_clone_that_is_deep_enough_has_the_commit(deep: Path, file: Path, tmp_path: Path) -> None:
    cloned = shallow(deep, tmp_path / "clone", 4)
    assert accepted(cloned) == accepted(file)


def shallow(top: Path, to: Path, depth: int) -> Path:
    """Clone so many commits; return the baseline file of the clone."""
    git(top, "clone", "--quiet", f"--depth={depth}", top.as_uri(), str(to))
    return to / ".hiddencost" / "device" / f"{MODULE}.json"


# --- entries that moved -------------------------------------------------------------------------

SECOND: Entries = {"test_two": {"": entry(7)}}


@pytest.mark.parametrize(
    ("test", "label"),
    [
        ("test_uno", ""),
        ("TestNet::test_one", ""),
        ("test_one[large]", ""),
        ("test_one", "b1"),
        ("TestNet::test_uno[1-2]", "b1"),
    ],
)
@pytest.mark.parametrize("committed", [True, False], ids=["committed", "working tree"])
def test_an_entry_under_a_new_name_was_accepted_under_its_old_one(
    top: Path, file: Path, test: str, label: str, committed: bool
) -> None:
    store(file, {**ONE, **SECOND})
    first = commit(top)
    store(file, {test: {label: entry(1)}, **SECOND})
    if committed:
        commit(top)
    assert accepted(file, test, label) == Accepted(first, MODULE, "test_one", "")
    assert accepted(file, "test_two") == Accepted(first, MODULE, "test_two", "")


@pytest.mark.parametrize("place", ["test_new.py", "models/deep/test_it.py", "test_old.py"])
@pytest.mark.parametrize("committed", [True, False], ids=["committed", "working tree"])
def test_an_entry_in_another_file_was_accepted_in_its_old_one(
    top: Path, file: Path, place: str, committed: bool
) -> None:
    other = file.parent / f"{place}.json"
    others = {f"test_{number}": {"": entry(number)} for number in range(10, 50)}
    store(file, {**ONE, **others})
    if place == "test_old.py":  # which has entries of its own already
        store(other, SECOND, place)
    first = commit(top)
    store(file, others)
    store(other, {**SECOND, "test_uno": {"": entry(1)}}, place)
    if committed:
        commit(top)
    found = AcceptedCommits(other, file.parent).of("test_uno", "")
    assert (found.commit, found.module) == (first, MODULE)


def test_an_entry_that_moved_twice_is_found(top: Path, file: Path) -> None:
    store(file, ONE)
    first = commit(top)
    store(file, {"test_uno": {"": entry(1)}})
    commit(top)
    store(file, {"test_uno": {"b1": entry(1)}, **SECOND})
    commit(top)
    assert accepted(file, "test_uno", "b1") == Accepted(first, MODULE, "test_one", "")


def test_an_entry_that_moved_and_changed_was_accepted_when_it_changed(
    top: Path, file: Path
) -> None:
    store(file, ONE)
    commit(top)
    store(file, {"test_uno": {"": entry(2)}})
    assert accepted_after_commit_of(top, file, "test_uno")


def accepted_after_commit_of(top: Path, file: Path, test: str) -> bool:
    return commit(top) == accepted(file, test).commit


def test_a_copy_of_an_entry_that_stays_was_accepted_when_it_was_made(top: Path, file: Path) -> None:
    store(file, ONE)
    commit(top)
    store(file, {**ONE, "test_uno": ONE["test_one"]})
    assert why_none(file, "test_uno") == NOT_COMMITTED
    assert accepted_after_commit_of(top, file, "test_uno")


def test_an_entry_that_could_have_been_two_was_accepted_when_it_moved(
    top: Path, file: Path
) -> None:
    store(file, {**ONE, "test_twin": ONE["test_one"]})
    commit(top)
    store(file, {"test_uno": ONE["test_one"]})
    assert why_none(file, "test_uno") == NOT_COMMITTED
    assert accepted_after_commit_of(top, file, "test_uno")


def test_an_entry_that_moved_in_a_clone_too_shallow_to_tell_says_so(
    top: Path, file: Path, tmp_path: Path
) -> None:
    store(file, ONE)
    commit(top)
    store(file, {"test_uno": {"": entry(1)}})
    commit(top)
    assert why_none(shallow(top, tmp_path / "one", 1), "test_uno") == reasons.SHALLOW.found
    assert why_none(shallow(top, tmp_path / "two", 2), "test_uno") == reasons.SHALLOW.found
    assert accepted(shallow(top, tmp_path / "three", 3), "test_uno").test == "test_one"


# --- where the file lies ------------------------------------------------------------------------


def test_a_subfolder_may_be_the_root_of_the_tests(top: Path) -> None:
    file = top / "packages" / "net" / ".hiddencost" / "device" / "tests" / f"{MODULE}.json"
    store(file, ONE, module="tests/test_it.py")
    first = commit(top)
    assert accepted(file) == Accepted(first, "tests/test_it.py", "test_one", "")


def test_without_a_repository_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "device" / f"{MODULE}.json"
    store(file, ONE)
    assert why_none(file) == reasons.NOT_IN_GIT.found


def test_without_git_the_reason_names_git(
    top: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(file, ONE)
    commit(top)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert "git could not be run" in why_none(file)


def test_the_environment_of_a_git_hook_does_no_harm(
    top: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(file, ONE)
    first = commit(top)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    assert accepted(file).commit == first
