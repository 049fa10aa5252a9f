"""The study as a user runs it, on the smallest model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pytest_hiddencost import Sampling, profile, study
from pytest_hiddencost.measure import passes
from pytest_hiddencost.measure.operators.windows import OperatorWindows
from pytest_hiddencost.report.run_file import read
from pytest_hiddencost.study import study_output
from pytest_hiddencost.study.compare import device_tables
from pytest_hiddencost.study.results import BACKENDS
from tests.report.html.reports import data_of

BY_NAME = ("--pyargs", "pytest_hiddencost.study")
STUDY_FOLDER = Path(study.__file__).parent

# A run in this process forgets its imports, and torch cannot be imported twice.
assert study_output
profile(torch.relu, torch.ones(1), sampling=Sampling(max_time_ns=1_000_000))


@pytest.fixture(autouse=True)
def _few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """One window a call: these tests read its structure, not its times."""
    monkeypatch.setattr(passes, "FEWEST_WINDOWS", 1)
    monkeypatch.setattr(OperatorWindows, "COLD", 0)


def run_study(
    pytester: pytest.Pytester, *arguments: str, study: tuple[str, ...] = BY_NAME
) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        *study,
        "-k",
        "MobileNet and not MobileNetV2",
        "--hiddencost-max-time=1ms",
        "--hiddencost-threads=1",
        "--hiddencost-json=study.json",
        *arguments,
    )


def test_the_study_measures_prints_tables_and_compares(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    # As in a checkout, whose own conftest.py is none of the study's.
    pytester.makeini("[pytest]\ntestpaths = tests")
    pytester.mkdir("tests").joinpath("conftest.py").touch()
    result = run_study(pytester)
    result.assert_outcomes(passed=2, deselected=18)
    result.stdout.fnmatch_lines(
        [
            "[[] 1/2[]] default-MobileNet .",
            "[[] 2/2[]] oneDNN off-MobileNet .*",
            "*device study*",
            "Models, default",
            "Models, oneDNN off",
            "Inside Conv2D, oneDNN off*",
        ]
    )
    run_file = pytester.path / "study.json"
    profiles = json.loads(run_file.read_text())["profiles"]
    assert [p["label"] for p in profiles] == [f"MobileNet, {backend}" for backend in BACKENDS]
    # The papers' finding: without oneDNN, conv2d runs bookkeeping operators inside.
    counts = [{o["name"]: o["calls"] for o in p["operators"]} for p in profiles]
    assert counts[0].get("aten::narrow", 0) == 0
    assert counts[1]["aten::narrow"] == 9_920
    found = read(run_file)
    table = "\n".join(device_tables(found, found))
    assert table.count("MobileNet") == 2
    assert " 1.00 " in table


def test_a_quiet_run_prints_no_tables(pytester: pytest.Pytester) -> None:
    result = run_study(pytester, "-q", "-k", "default and MobileNet and not MobileNetV2")
    result.assert_outcomes(passed=1, deselected=19)
    result.stdout.no_fnmatch_line("*device study*")


@pytest.mark.end_to_end
def test_the_controller_of_workers_prints_the_tables_and_the_report_has_the_study(
    pytester: pytest.Pytester,
) -> None:
    """It collects nothing itself."""
    arguments = ("-n1", "-k", "default and MobileNet and not MobileNetV2")
    result = run_study(pytester, *arguments, "--hiddencost-report=study.html")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*device study*", "Models, default"])
    overview, _ = data_of((pytester.path / "study.html").read_text(encoding="utf-8"))
    assert [found["backend"] for found in overview["study"]["backends"]] == ["default"]


def test_the_study_may_be_named_by_its_path(pytester: pytest.Pytester) -> None:
    result = run_study(
        pytester, "-k", "default and MobileNet and not MobileNetV2", study=(str(STUDY_FOLDER),)
    )
    result.assert_outcomes(passed=1, deselected=19)
    assert result.stdout.str().count(" device study ") == 1
