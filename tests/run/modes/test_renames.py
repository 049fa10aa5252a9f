"""Renamed and moved tests: which entry they had, and how it is carried over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.recorded_suites import COPYING, ONE, TWO
from tests.repositories import commit
from tests.run.modes.given_pairs import GivenPairs
from tests.run.modes.test_against_baseline import ALWAYS, Gated, gated, pairs

__all__ = ["gated", "pairs"]  # fixtures
CARRY = "--hiddencost-rename"
IN_CLASS = ONE.replace("def test_one(", "class TestNet:\n    def test_one(self, ").replace(
    "    hiddencost(MODEL", "        hiddencost(MODEL"
)
ROWS = """
@pytest.mark.parametrize("x", [X, torch.ones(2, 8)], ids=["one", "two"])
def test_rows(hiddencost, x):
    hiddencost(MODEL, x)
"""
LABELLED = """
def test_one(hiddencost):
    hiddencost(MODEL, X, label="b1")
"""

UNO = ONE.replace("test_one", "test_uno")
B2 = LABELLED.replace("b1", "b2")

# The suite before, the suite now, its file, and the new name of each call.
RENAMES = {
    "a function": (ONE, UNO, "test_it.py", ["test_one", "test_uno"]),
    "a class": (ONE, IN_CLASS, "test_it.py", ["test_one", "TestNet::test_one"]),
    "a file": (ONE, ONE, "test_new.py", ["test_one", "test_one"]),
    "a folder": (ONE, ONE, "models/test_it.py", ["test_one", "test_one"]),
    "a label": (LABELLED, B2, "test_it.py", ["test_one b1", "test_one b2"]),
    "a label that came": (ONE, LABELLED, "test_it.py", ["test_one", "test_one b1"]),
    "a parameter": (
        ROWS,
        ROWS.replace('"one"', '"single"'),
        "test_it.py",
        ["test_rows[one]", "test_rows[single]"],
    ),
    "a function with parameters": (
        ROWS.replace("ones(2", "ones(1"),
        ROWS.replace("ones(2", "ones(1").replace("test_rows", "test_batch"),
        "test_it.py",
        ["test_rows[one]", "test_batch[one]", "test_rows[two]", "test_batch[two]"],
    ),
}  # fmt: skip


def renamed(
    gated: Gated, before: Sequence[str], now: Sequence[str], file: str = "test_it.py"
) -> None:
    """Record these tests, and put others in their place."""
    gated.record(*before)
    (gated.folder / "test_it.py").unlink()
    (gated.folder / file).parent.mkdir(exist_ok=True)
    gated.write(*now, name=file)


def every_entry(gated: Gated, module: str = "test_it.py") -> dict[str, Any]:
    """The entries of a module by test and label, as a user names them."""
    return {
        f"{test} {label}".strip(): entry
        for test, by in gated.entries(module).items()
        for label, entry in by.items()
    }


@pytest.mark.parametrize("kind", RENAMES)
def test_a_renamed_test_is_named_and_carried_over(gated: Gated, kind: str) -> None:
    before, now, file, names = RENAMES[kind]
    renamed(gated, [before], [now], file)
    recorded = every_entry(gated)
    assert gated.run() == 0
    pairs = [
        f"test_it.py::{a} -> {file}::{b}" for a, b in zip(names[::2], names[1::2], strict=True)
    ]
    assert f"likely renamed (same structure): {', '.join(pairs)}; " in gated.stdout
    assert f"carry the accepted times over with {CARRY}" in gated.stdout
    assert every_entry(gated) == recorded, "nothing is carried over silently"

    assert gated.run(CARRY) == 0
    carried = every_entry(gated, file)
    for old, new in zip(names[::2], names[1::2], strict=True):
        assert carried[new] == recorded[old], "times, reason and commit are kept"
    assert "unused baseline" not in gated.stdout
    assert gated.run("--hiddencost-strict", "--hiddencost-interleave=never") == 0
    assert "new (" not in gated.stdout
    assert (gated.device / "test_it.py.json").exists() == (file == "test_it.py")


def test_the_ini_file_may_say_so(gated: Gated) -> None:
    (gated.folder / "pytest.ini").write_text("[pytest]\nhiddencost_rename = true\n")
    renamed(gated, [ONE], [UNO])
    assert gated.run() == 0
    assert (
        "renamed: 1 baseline entry carried over: test_it.py::test_one -> test_it.py::test_uno"
        in (gated.stdout)
    )
    assert gated.run() == 0
    assert "carried over" not in gated.stdout


TWINS = {
    "two new names": ([ONE], [ONE.replace("one", "uno"), ONE.replace("one", "eins")]),
    "two old names": ([ONE, ONE.replace("one", "other")], [ONE.replace("one", "uno")]),
    "two of each": (
        [ONE, ONE.replace("one", "other")],
        [ONE.replace("one", "uno"), ONE.replace("one", "eins")],
    ),
    "two labels": ([TWO], [TWO.replace('"a"', '"c"').replace('"b"', '"d"')]),
}


@pytest.mark.parametrize("kind", TWINS)
def test_several_calls_of_one_structure_are_named_and_stay(gated: Gated, kind: str) -> None:
    before, now = TWINS[kind]
    renamed(gated, before, now)
    recorded = every_entry(gated)
    assert gated.run(CARRY) == 0
    assert "ambiguous" in gated.stdout
    assert "likely renamed" not in gated.stdout
    assert "nothing is carried over: rename the entry in the baseline file by hand" in gated.stdout
    line = gated.stdout[gated.stdout.index("ambiguous") :]
    for name in recorded:
        assert f"test_it.py::{name}" in line
    assert every_entry(gated) == recorded
    assert f"{len(recorded)} unused baseline" in gated.stdout


def test_of_several_calls_the_one_that_kept_its_name_moved(gated: Gated) -> None:
    """Files are renamed with tests in them that all measure the same model."""
    several = [ONE, ONE.replace("one", "other"), TWO]
    renamed(gated, several, several, "test_new.py")
    recorded = every_entry(gated)
    assert gated.run(CARRY) == 0
    assert "ambiguous" not in gated.stdout
    assert every_entry(gated, "test_new.py") == recorded
    assert not (gated.device / "test_it.py.json").exists()


def test_another_structure_is_no_rename(gated: Gated) -> None:
    renamed(gated, [ONE], [COPYING.replace("test_one", "test_uno")])
    assert gated.run(CARRY) == 0
    assert "likely renamed" not in gated.stdout
    assert "renamed: no unused baseline entry has a new name" in gated.stdout
    assert set(gated.entries()) == {"test_one"}


def test_a_test_that_was_only_added_is_no_rename(gated: Gated) -> None:
    renamed(gated, [ONE], [ONE, UNO])
    assert gated.run(CARRY) == 0
    assert "unused baseline entry:" not in gated.stdout
    assert set(gated.entries()) == {"test_one"}


def test_a_rename_is_not_seen_while_a_part_of_the_tests_is_selected(gated: Gated) -> None:
    """The old test may still be there."""
    renamed(gated, [ONE], [ONE, UNO])
    assert gated.run(CARRY, "-k", "uno") == 0
    assert set(gated.entries()) == {"test_one"}


def test_entries_of_every_device_are_carried_over(gated: Gated) -> None:
    renamed(gated, [ONE, TWO], [UNO, TWO])
    own = gated.device
    other, third = (own.with_name(f"other-board-{name}") for name in ("a", "b"))
    for folder in (other, third):
        shutil.copytree(own, folder)
        file = folder / "test_it.py.json"
        document = json.loads(file.read_text())
        document["device"]["key"] = folder.name
        if folder is third:  # where the new name was recorded meanwhile
            document["entries"]["test_uno"] = {"": document["entries"]["test_two"]["a"]}
        document["entries"]["test_one"][""]["p50_ns"] = [1, 2]
        file.write_text(json.dumps(document, indent=1))

    def entries(folder: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / "test_it.py.json").read_text())["entries"]
        return found

    before = {folder: entries(folder) for folder in (own, other, third)}
    assert gated.run(CARRY) == 0
    assert "1 baseline entry carried over on 2 devices" in gated.stdout
    for folder in (own, other):
        assert entries(folder)["test_uno"] == before[folder]["test_one"]
        assert set(entries(folder)) == {"test_uno", "test_two"}
    assert entries(third) == before[third]


def test_strict_fails_until_it_is_carried_over(gated: Gated) -> None:
    renamed(gated, [ONE], [UNO])
    assert gated.run("--hiddencost-strict") == 1
    assert gated.run(CARRY) == 0
    assert gated.run("--hiddencost-strict", "--hiddencost-interleave=never") == 0


def test_a_quiet_run_only_counts(gated: Gated) -> None:
    renamed(gated, [ONE], [UNO])
    assert gated.run("-q") == 0
    assert "1 new, 1 unused" in gated.stdout
    assert "likely renamed" not in gated.stdout


def test_new_names_that_are_recorded_lose_the_accepted_times_only_visibly(gated: Gated) -> None:
    renamed(gated, [ONE], [UNO])
    new = ("--hiddencost-update-new", "--hiddencost-launches=2")
    assert gated.run(*new) == 0
    assert "the new names were recorded anew; to keep the accepted times, restore" in gated.stdout

    (gated.device / "test_it.py.json").unlink()
    renamed(gated, [ONE], [UNO, COPYING.replace("test_one", "test_two")])
    recorded = gated.entries()["test_one"]
    assert gated.run(*new, CARRY) == 0
    assert gated.entries()["test_uno"] == recorded
    assert set(gated.entries()) == {"test_uno", "test_two"}


@pytest.mark.parametrize("kind", ["a file", "a label"])
@pytest.mark.parametrize("committed", [True, False], ids=["committed", "working tree"])
def test_base_runs_the_old_name_after_a_rename(
    gated: Gated, pairs: GivenPairs, kind: str, committed: bool
) -> None:
    before, now, file, names = RENAMES[kind]
    gated.record(before)
    accepted = commit(gated.folder)
    (gated.folder / "test_it.py").unlink()
    gated.write(now, name=file)
    assert gated.run(CARRY) == 0
    if committed:
        commit(gated.folder)
    assert gated.run(ALWAYS) == 0, gated.stdout
    [asked] = pairs.asked
    assert [base.commit for base in pairs.bases] == [accepted]
    old = names[0].split()
    assert asked.base_test == f"test_it.py::{old[0]}"
    assert (asked.label if asked.base_label is None else asked.base_label) == "".join(old[1:])
    assert asked.test == f"{file}::{names[1].split()[0]}"
