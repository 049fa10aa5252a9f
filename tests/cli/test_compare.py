"""``hiddencost compare``: one device call by call, two devices as the papers do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.running import error_of, hiddencost, written
from tests.profiles import DEVICE, MS, network, operator, profile_of
from tests.study.study_results import LATENCIES_MS, several

OTHER = replace(DEVICE, key="other", model="Other Board", threads=4, torch="2.4.0")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written(tmp_path / "a.json", network(), network(label="b1"))


def test_equal_runs_end_with_0(run: Path) -> None:
    result = hiddencost("compare", run, run)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == (
        "2 calls in both runs, none of them with a different structure"
    )


def test_another_structure_ends_with_1(run: Path, tmp_path: Path) -> None:
    more = profile_of(*network().operators, operator("aten::clone", 0.1 * MS, 2))
    other = written(tmp_path / "b.json", more, network(label="b1"))
    result = hiddencost("compare", run, other)
    assert result.exit_code == 1
    assert "+2 aten::clone" in result.stdout
    assert "1 of them with a different structure" in result.stdout


def test_a_call_in_one_run_only_ends_with_1(run: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "b.json", network(), network(label="b8"))
    result = hiddencost("compare", run, other)
    assert result.exit_code == 1
    assert "only in A: test_models.py::test_it b1\n" in result.stdout
    assert "only in B: test_models.py::test_it b8\n" in result.stdout


def test_times_alone_have_no_verdict(run: Path, tmp_path: Path) -> None:
    slower = [profile_of(*network(label=label).operators, latency_ns=20 * MS, label=label)
              for label in ("", "b1")]  # fmt: skip
    result = hiddencost("compare", run, written(tmp_path / "b.json", *slower))
    assert result.exit_code == 0
    assert "growth of time has no verdict here" in " ".join(result.stdout.split())
    assert "+100 %" in result.stdout


def test_two_devices_of_the_study_get_the_papers_tables(tmp_path: Path) -> None:
    profiles = [found.profile for found in several(LATENCIES_MS)]
    a = written(tmp_path / "a.json", *profiles)
    b = written(tmp_path / "b.json", *profiles, device=OTHER)
    result = hiddencost("compare", a, b)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "A: cpu: Some Board, 4 cores, 2 threads, torch 2.13.0"
    assert lines[1] == "B: cpu: Other Board, 4 cores, 4 threads, torch 2.4.0"
    assert lines[3].startswith("default (in Conv2D")
    assert lines[-1].startswith("Pearson correlation of MACs and time: A ")


def test_two_devices_without_the_study_are_compared_call_by_call(run: Path, tmp_path: Path) -> None:
    other = written(tmp_path / "b.json", network(), network(label="b1"), device=OTHER)
    result = hiddencost("compare", run, other)
    assert result.exit_code == 0
    assert "A and B are two devices" in result.stdout


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_names_the_file(run: Path, bad: int, tmp_path: Path) -> None:
    paths = [run, run]
    paths[bad] = tmp_path / "missing.json"
    assert error_of("compare", *paths).startswith(f"{tmp_path / 'missing.json'}: cannot be read")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_two_files_are_needed(run: Path, count: int) -> None:
    result = hiddencost("compare", *[run] * count)
    assert result.exit_code == 2
    assert "Usage: hiddencost compare [OPTIONS] A.json B.json" in result.stderr
