"""How the gates' benchmarks read verdicts, order their runs and count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gates.comparisons import DISTURBED, QUIET, Job, in_rounds
from benchmarks.gates.hiddencost import RUN_FILE, Baseline
from benchmarks.gates.tables import tables
from benchmarks.gates.tools import Judgement, ToolSettings
from benchmarks.lib.injections import INJECTIONS, NONE, STRUCTURE, inject_before, injected_in
from benchmarks.lib.log import Facts, Line
from benchmarks.lib.pytest_runs import Outcome, Run, outcomes_in
from pytest_hiddencost.core.checks import Outcome as Word
from pytest_hiddencost.core.checks import regression
from pytest_hiddencost.core.records import Comparison, Verdict
from tests.profiles import network

FACTS = Facts("abc1234", False, {}, {"short": False, "threads": 1, "seconds": 1.0})


def verdict(word: Word, key: str = "p50", measured: float | None = 0.03) -> Verdict:
    return Verdict(regression(key), word, measured, 0.05, reason="a reason", unit="share")


def judged(folder: Path, verdicts: Sequence[Verdict], outcome: str) -> Judgement:
    profile = network(
        test="test_models.py::test_mobilenet",
        verdicts=tuple(verdicts),
        comparison=Comparison("base", reference_growth=0.02),
    )
    (folder / RUN_FILE).write_text(json.dumps({"profiles": [profile.to_dict()]}))
    run = Run(0, "", 1.0, 0.0, {"test_mobilenet": Outcome(outcome, "", "")})
    return Baseline(ToolSettings(1.0, 1)).judgements(run, folder, ["MobileNet"])["MobileNet"]


def test_the_verdict_on_p50_counts_where_no_check_failed(tmp_path: Path) -> None:
    found = judged(tmp_path, [verdict("pass", "macs"), verdict("inconclusive")], "passed")
    assert found == Judgement("inconclusive", "regression[p50] +3.0 %: a reason", 0.03, 0.02)


def test_a_failed_check_counts_whatever_p50_shows(tmp_path: Path) -> None:
    found = judged(tmp_path, [verdict("fail", "macs", None), verdict("pass")], "failed")
    assert found == Judgement("fail", "regression[macs]: a reason", 0.03, 0.02)


@pytest.mark.parametrize(("word", "outcome"), [("fail", "passed"), ("pass", "failed")])
def test_a_verdict_that_does_not_reach_the_user_is_an_error(
    word: Word, outcome: str, tmp_path: Path
) -> None:
    assert judged(tmp_path, [verdict(word)], outcome).verdict == "error"


def test_a_test_without_a_baseline_is_new(tmp_path: Path) -> None:
    assert judged(tmp_path, [verdict("new", "")], "passed").verdict == "new"


def test_a_test_that_is_not_in_the_run_file_is_an_error(tmp_path: Path) -> None:
    run = Run(2, "no such test", 1.0, 0.0, {})
    found = Baseline(ToolSettings(1.0, 1)).judgements(run, tmp_path, ["MobileNet"])
    assert found["MobileNet"] == Judgement("error", "no such test")


def test_jobs_that_need_the_same_record_share_it_and_conditions_take_turns() -> None:
    fusing = next(one for one in STRUCTURE if one.recorded)
    jobs = [Job(QUIET, NONE, n) for n in range(10)]
    jobs += [Job(QUIET, fusing, 0), Job(DISTURBED, NONE, 0)]
    assert [(j[0].condition, j[0].injection.name, len(j)) for j in in_rounds(jobs)] == [
        (QUIET, fusing.name, 1),
        (QUIET, NONE.name, 8),
        (DISTURBED, NONE.name, 1),
        (QUIET, NONE.name, 2),
    ]


def test_an_injection_is_read_as_it_was_written(tmp_path: Path) -> None:
    inject_before(tmp_path, INJECTIONS["batch norm not fused"])
    assert (injected_in(tmp_path).code, injected_in(tmp_path).share) == ("fused", 0.0)


def test_the_outcomes_of_tests_are_read_from_junit(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(
        '<testsuite><testcase name="test_a[1]"><failure message="slow">why</failure></testcase>'
        '<testcase name="test_b"><system-out>printed</system-out></testcase></testsuite>'
    )
    assert outcomes_in(tmp_path / "junit.xml") == {
        "test_a": Outcome("failed", "slow\nwhy", ""),
        "test_b": Outcome("passed", "", "printed"),
    }


def test_a_run_finds_pytests_summary_and_the_first_fitting_line() -> None:
    output = "E   no baseline on this device\n== 1 failed, 2 passed in 0.12s =="
    run = Run(1, output, 1.0, 0.0, {})
    assert run.last_line == "1 failed, 2 passed"
    assert run.line_with("unused", "no baseline") == "no baseline on this device"
    assert run.line_with("unused") == ""


def comparison(injected: str, word: str, condition: str = QUIET, **figures: Any) -> Line:
    case = {"condition": condition, "injected": injected, "tool": "mine", "model": "A"}
    seen = {"verdict": word, "named": False, "seconds": 2.0, "others_cores": 0.1, **figures}
    return Line(None, FACTS, case, 0, seen)


def rows_of(title: str, *lines: Line) -> list[list[str]]:
    table = next(table for table in tables(lines) if table.title.startswith(title))
    return [list(row) for row in table.rows]


def test_unchanged_code_is_counted_by_condition_and_in_all() -> None:
    lines = [comparison("none", word) for word in ("pass", "pass", "fail", "new", "error")]
    lines.append(comparison("none", "inconclusive", DISTURBED))
    refused = comparison("none", "not recorded", DISTURBED)
    del refused.figures["seconds"], refused.figures["others_cores"]
    assert rows_of("Verdicts", *lines, refused, comparison("copy", "fail")) == [
        [QUIET, "mine", "5", "1", "0", "2", "1", "1", "0.1", "2.0"],
        [DISTURBED, "mine", "2", "0", "1", "0", "1", "0", "0.1", "2.0"],
        ["all", "mine", "7", "1", "1", "2", "2", "1", "0.1", "2.0"],
    ]


def test_structure_counts_as_named_only_where_it_was_caught() -> None:
    lines = [comparison("copy", "fail", named=True), comparison("copy", "fail")]
    assert rows_of("Changes", *lines, comparison("copy", "pass", named=True)) == [
        ["copy", QUIET, "2 / 1 / 3"]
    ]


def test_slower_calls_are_shown_apart_where_the_device_was_steady() -> None:
    lines = [
        comparison("+20 %", "fail", device_growth=0.02),
        comparison("+20 %", "pass", device_growth=0.3),
        comparison("+5 %", "inconclusive"),
    ]
    assert rows_of("Slower", *lines) == [
        ["+5 %", QUIET, "0 % / 100 % / 0 % (1)"],
        ["+20 %", QUIET, "50 % / 0 % / 50 % (2)"],
        ["+20 %", f"{QUIET}, device within 10 %", "100 % / 0 % / 0 % (1)"],
    ]


def test_the_growth_seen_in_unchanged_code_has_its_spread() -> None:
    lines = [comparison("none", "pass", growth=share) for share in (0.01, 0.03)]
    assert rows_of("Growth", *lines) == [
        [QUIET, "mine", "2", "+2.00 +- 1.00", "+2.00", "1.41", "+1.0 to +3.0"]
    ]
