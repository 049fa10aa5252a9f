"""Baselines in whole processes: recording, relaunches, workers of pytest-xdist."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.recorded_suites import COPYING, LOOSE, ONE, RECORD, RUN, TWO
from tests.repositories import commit, git
from tests.suites import ALONE, Finished, pytest_apart, run_file, suite, verdicts

pytestmark = pytest.mark.end_to_end

SLEEPING = """
def slow(x):
    time.sleep({ms} / 1000)
    return MODEL(x)


def test_one(hiddencost):
    hiddencost(slow, X)
"""


def write(folder: Path, *tests: str) -> None:
    (folder / "conftest.py").write_text(ALONE, encoding="utf-8")
    (folder / "test_it.py").write_text(suite(*tests), encoding="utf-8")


def run(folder: Path, *arguments: str) -> Finished:
    return pytest_apart(folder, *RUN, *arguments, PYTHONDONTWRITEBYTECODE="1")


def entries(folder: Path) -> dict[str, Any]:
    (device,) = (f for f in (folder / ".hiddencost").iterdir() if f.is_dir())
    found: dict[str, Any] = json.loads((device / "test_it.py.json").read_text())["entries"]
    return found


def checks(folder: Path) -> dict[str, str]:
    return verdicts(run_file(folder)["profiles"][0])


def test_a_recording_and_its_gate_with_workers(tmp_path: Path) -> None:
    """What two workers record and judge is what one process would."""
    write(tmp_path, ONE, TWO)
    done = run(tmp_path, LOOSE, *RECORD, "-n2")
    assert done.code == 0, done.output
    found = entries(tmp_path)
    assert {test: set(labels) for test, labels in found.items()} == {
        "test_one": {""}, "test_two": {"a", "b"},
    }  # fmt: skip
    entry = found["test_one"][""]
    assert len(entry["p50_ns"]) == len(entry["control_ns"]) == len(entry["relative"]) == 2
    write(tmp_path, COPYING, TWO.replace('label="b"', 'label="c"'))
    done = run(tmp_path, LOOSE, "-n2")
    assert done.outcomes == {"test_one": "failure", "test_two": "passed"}
    assert checks(tmp_path)["regression[calls]"] == "fail"
    output = " ".join(done.stdout.split())
    assert "1 unused baseline entry: test_it.py::test_two b" in output
    assert "new (1): test_it.py::test_two c" in output


@pytest.mark.xdist_group("clock")
def test_a_slower_call_is_confirmed_by_relaunches(tmp_path: Path) -> None:
    write(tmp_path, SLEEPING.format(ms=2))
    assert run(tmp_path, LOOSE, *RECORD).code == 0
    write(tmp_path, SLEEPING.format(ms=60))
    wide, longer = "--hiddencost-tolerance=100%", "--hiddencost-max-time=200ms"
    done = run(tmp_path, wide, longer, "--hiddencost-interleave=never")
    assert done.code == 1, done.output
    message = done.message("test_one")
    assert "regression[p50]" in message
    assert "confirmed by" in message
    assert "against the baseline of" in message


@pytest.mark.xdist_group("clock")
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "two workers"])
def test_a_slower_call_is_shown_by_pairs_with_the_accepted_commit(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    write(tmp_path, SLEEPING.format(ms=2))
    assert run(tmp_path, LOOSE, *RECORD).code == 0
    accepted = commit(tmp_path)
    write(tmp_path, SLEEPING.format(ms=60))
    done = run(tmp_path, "--hiddencost-tolerance=100%", "--hiddencost-max-time=200ms", *workers)
    assert done.code == 1, done.output
    message = " ".join(done.message("test_one").split())
    assert "regression[p50]" in message
    assert "pairs of processes" in message
    assert run_file(tmp_path)["profiles"][0]["paired"]["commit"] == accepted
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1


def test_statistics_and_locks_are_imported_when_they_are_needed(tmp_path: Path) -> None:
    def imported(*arguments: str) -> set[str]:
        write(tmp_path, ONE)
        with (tmp_path / "conftest.py").open("a") as file:
            file.write(
                "\ndef pytest_unconfigure(config):\n    import sys\n"
                "    print('MODULES', *sorted(sys.modules.keys() & {'scipy', 'filelock'}))\n"
            )
        done = run(tmp_path, LOOSE, "-s", *arguments)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("MODULES")]
        return set(line.split()[1:])

    assert imported() == set()
    assert imported(*RECORD) == {"filelock", "scipy"}
    assert imported() == {"scipy"}
