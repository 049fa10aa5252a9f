"""Baselines in whole processes: recording, relaunches, workers of pytest-xdist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.recorded_suites import COPYING, LOOSE, ONE, RECORD, RUN, TWO
from tests.repositories import commit, git
from tests.suites import (
    ALONE,
    Finished,
    pytest_apart,
    run_file,
    run_here,
    suite,
    verdicts,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("clock")]

SLEEPING = """
def slow(x):
    time.sleep({ms} / 1000)
    return MODEL(x)


@budget(regression="100%")
def test_slow(hiddencost):
    hiddencost(slow, X)
"""
FAST, SLOWER = SLEEPING.format(ms=2), SLEEPING.format(ms=40)
# A few processes decide: a call that sleeps twenty times as long needs no more.
FEW = (LOOSE, "--hiddencost-max-time=100ms", "--hiddencost-confidence=60%")
TELLS_IMPORTS = """
def pytest_unconfigure(config):
    import sys
    print("\\nIMPORTED", *sorted(sys.modules.keys() & {"scipy", "filelock"}))
"""


def write(folder: Path, *tests: str) -> None:
    (folder / "conftest.py").write_text(ALONE + TELLS_IMPORTS, encoding="utf-8")
    (folder / "test_it.py").write_text(suite(*tests), encoding="utf-8")


def run(folder: Path, *arguments: str) -> Finished:
    return pytest_apart(folder, *RUN, *arguments, PYTHONDONTWRITEBYTECODE="1")


def entries(folder: Path) -> dict[str, Any]:
    (device,) = (f for f in (folder / ".hiddencost").iterdir() if f.is_dir())
    found: dict[str, Any] = json.loads((device / "test_it.py.json").read_text())["entries"]
    return found


def profile(folder: Path, test: str) -> dict[str, Any]:
    found = run_file(folder)["profiles"]
    return next(p for p in found if p["test"] == f"test_it.py::{test}")


def imported(done: Finished) -> set[str]:
    """Which of the libraries that are rarely needed a run had imported at its end."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("IMPORTED")]
    return set(line.split()[1:])


def test_a_recording_and_its_gate_with_workers(tmp_path: Path) -> None:
    """Two workers record and judge as one process does."""
    write(tmp_path, ONE, TWO, FAST)
    done = run(tmp_path, LOOSE, *RECORD, "-n2")
    assert done.code == 0, done.output
    found = entries(tmp_path)
    assert {test: set(labels) for test, labels in found.items()} == {
        "test_one": {""}, "test_two": {"a", "b"}, "test_slow": {""},
    }  # fmt: skip
    entry = found["test_one"][""]
    assert len(entry["p50_ns"]) == len(entry["control_ns"]) == len(entry["relative"]) == 2
    accepted = commit(tmp_path)
    write(tmp_path, COPYING, TWO.replace('label="b"', 'label="c"'), SLOWER)
    done = run(tmp_path, *FEW, "-n2")
    assert done.outcomes == {"test_one": "failure", "test_two": "passed", "test_slow": "failure"}
    assert verdicts(profile(tmp_path, "test_one"))["regression[calls]"] == "fail"
    output = " ".join(done.stdout.split())
    assert "1 unused baseline entry: test_it.py::test_two b" in output
    assert "new (1): test_it.py::test_two c" in output
    shown_by_pairs(tmp_path, done.message("test_slow"), accepted)


def shown_by_pairs(folder: Path, message: str, accepted: str) -> None:
    """Pairs of processes showed that the slow test became slower than in the accepted commit."""
    message = " ".join(message.split())
    assert "regression[p50]" in message
    assert "pairs of processes" in message
    assert profile(folder, "test_slow")["paired"]["commit"] == accepted
    assert len(git(folder, "worktree", "list").splitlines()) == 1


@dataclass(frozen=True)
class Slower:
    """A project whose slow test became slower since its baseline was recorded and committed."""

    folder: Path
    commit: str
    without_baseline: Finished
    recording: Finished
    relaunched: Finished
    message: str
    """The output of relaunches."""


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory) -> Slower:
    folder = tmp_path_factory.mktemp("slower")
    write(folder, FAST)
    without_baseline = run(folder, LOOSE, "-s")
    recording = run(folder, LOOSE, "-s", *RECORD)
    accepted = commit(folder)
    write(folder, SLOWER)
    relaunched = run(folder, *FEW, "-s", "--hiddencost-interleave=never")
    message = relaunched.message("test_slow")
    return Slower(folder, accepted, without_baseline, recording, relaunched, message)


def test_a_slower_call_is_confirmed_by_relaunches(slower: Slower) -> None:
    assert slower.recording.code == 0, slower.recording.output
    assert slower.relaunched.code == 1, slower.relaunched.output
    assert "regression[p50]" in slower.message
    assert "confirmed by" in slower.message
    assert "against the baseline of" in slower.message


def test_statistics_and_locks_are_imported_when_they_are_needed(slower: Slower) -> None:
    assert imported(slower.without_baseline) == set()
    assert imported(slower.recording) == {"filelock", "scipy"}
    assert imported(slower.relaunched) == {"scipy"}


@pytest.mark.usefixtures("own_temporary_folder", "one_template")
def test_a_slower_call_is_shown_by_pairs_with_the_accepted_commit(
    slower: Slower, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(slower.folder)
    result = run_here(pytester, *RUN, *FEW)
    result.assert_outcomes(failed=1)
    shown_by_pairs(slower.folder, result.stdout.str(), slower.commit)
