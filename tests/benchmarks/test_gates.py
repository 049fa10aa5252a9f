"""The benchmark of the gates: its plan, its reading of verdicts, its counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gates.comparisons import Comparisons
from benchmarks.gates.gates import MODELS
from benchmarks.gates.hiddencost import BASELINES, RUN_FILE, Against, Baseline, Interleaved, Never
from benchmarks.gates.plan import (
    CONDITIONS,
    KINDS,
    LOADED,
    QUIET,
    RARELY,
    ROUNDS,
    TEN,
    THREADS,
    Cell,
    Job,
    Kind,
    budget,
    cells_of,
    expected_s,
    plan_of,
)
from benchmarks.gates.tables import tables
from benchmarks.gates.tools import Judgement, Tool, ToolSettings
from benchmarks.lib.benchmark import Measuring
from benchmarks.lib.injections import (
    INJECTED_FILE,
    INJECTIONS,
    NONE,
    STRUCTURE,
    inject,
    inject_before,
    injected_in,
)
from benchmarks.lib.log import Facts, Line, Log, read
from benchmarks.lib.models import UNLIKE_MODELS, network
from benchmarks.lib.pytest_runs import Outcome, Run, outcomes_in
from benchmarks.lib.repository import git
from benchmarks.lib.subjects import CHANGES, subject
from pytest_hiddencost.core.checks import Outcome as Word
from pytest_hiddencost.core.checks import regression
from pytest_hiddencost.core.records import InterleavedComparison, Verdict
from tests.profiles import network as profile_of_network

FACTS = Facts("abc1234", False, {}, {"short": False, "seconds": 2.0})
SETTINGS = ToolSettings(1.0, 1)
CELLS = cells_of(MODELS, THREADS, CONDITIONS, 1)


def verdict(word: Word, key: str = "p50", measured: float | None = 0.03) -> Verdict:
    return Verdict(
        regression(key), word, measured, 0.05, "a reason", unit="share", interval=(-0.1, 0.2)
    )


def judged(
    folder: Path,
    verdicts: Sequence[Verdict],
    outcome: str,
    code: int | None = None,
    interleaved: InterleavedComparison | None = None,
) -> Judgement:
    profile = profile_of_network(
        test="test_models.py::test_mobilenet", verdicts=tuple(verdicts), interleaved=interleaved
    )
    (folder / RUN_FILE).write_text(json.dumps({"profiles": [profile.to_dict()]}))
    code = int(outcome == "failed") if code is None else code
    run = Run(code, "", 1.0, 0.0, {"test_mobilenet": Outcome(outcome, "", "")})
    return Baseline(SETTINGS).judgements(run, folder, ["MobileNet"])["MobileNet"]


def test_the_verdict_on_p50_counts_where_no_check_failed(tmp_path: Path) -> None:
    found = judged(tmp_path, [verdict("pass", "macs"), verdict("inconclusive")], "passed")
    assert (found.verdict, found.why) == ("inconclusive", "regression[p50] +3.0 %: a reason")
    assert (found.growth, found.interval, found.interleaved) == (0.03, (-0.1, 0.2), False)
    assert found.call_ms


def test_a_failed_check_counts_whatever_p50_shows(tmp_path: Path) -> None:
    found = judged(tmp_path, [verdict("fail", "macs", None), verdict("pass")], "failed")
    assert (found.verdict, found.why) == ("fail", "regression[macs]: a reason")


def test_the_decided_one_of_two_verdicts_on_p50_counts(tmp_path: Path) -> None:
    found = judged(tmp_path, [verdict("inconclusive"), verdict("pass")], "passed")
    assert found.verdict == "pass"


def test_the_interval_of_turns_is_read_as_one_of_growth(tmp_path: Path) -> None:
    turns = InterleavedComparison(
        "HEAD", ratio=1.0, interval=(0.75, 1.5), non_mac_interval=(0.5, 2.0)
    )
    found = judged(tmp_path, [verdict("pass")], "passed", interleaved=turns)
    assert (found.interval, found.interleaved) == ((-0.25, 0.5), True)
    assert found.non_mac_interval == (-0.5, 1.0)


@pytest.mark.parametrize(("word", "outcome"), [("fail", "passed"), ("pass", "failed")])
def test_a_verdict_that_does_not_reach_the_user_is_an_error(
    word: Word, outcome: str, tmp_path: Path
) -> None:
    assert judged(tmp_path, [verdict(word)], outcome).verdict == "error"


@pytest.mark.parametrize(
    ("word", "outcome", "code"), [("fail", "failed", 0), ("pass", "passed", 3)]
)
def test_an_exit_status_that_does_not_fit_the_outcomes_is_an_error(
    word: Word, outcome: str, code: int, tmp_path: Path
) -> None:
    found = judged(tmp_path, [verdict(word)], outcome, code)
    assert (found.verdict, found.why) == ("error", f"exit status {code}, no summary")


def test_a_recorded_baseline_is_committed_with_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(self: Baseline, folder: Path, *arguments: str) -> Run:
        (folder / BASELINES).mkdir()
        (folder / BASELINES / "x.json").write_text("{}")
        return Run(0, "", 1.0, 0.0, {})

    monkeypatch.setattr(Baseline, "run", recorded)
    tool = Interleaved(SETTINGS)
    tool.write(tmp_path, ["MLP"])
    inject(tmp_path, NONE)
    tool.record(tmp_path)
    inject(tmp_path, TEN)
    assert git(tmp_path, "status", "--porcelain") == f"M {INJECTED_FILE}"
    assert git(tmp_path, "log", "--format=%s", "--", BASELINES) == "accepted"


def test_a_test_without_a_baseline_is_new(tmp_path: Path) -> None:
    assert judged(tmp_path, [verdict("new", "")], "passed").verdict == "new"


def test_a_test_that_is_not_in_the_run_file_is_an_error(tmp_path: Path) -> None:
    run = Run(2, "no such test", 1.0, 0.0, {})
    found = Baseline(SETTINGS).judgements(run, tmp_path, ["MobileNet"])
    assert found["MobileNet"] == Judgement("error", "no such test")


def test_the_plan_has_enough_comparisons_in_three_hours() -> None:
    jobs = plan_of(CELLS, ROUNDS)
    unchanged = Counter(job.tool for job in jobs if job.change == NONE)
    assert unchanged[Against.name] >= 300
    assert unchanged[Interleaved.name] >= 150
    assert expected_s(jobs) <= 3 * 3600
    assert budget(jobs).startswith(f"{len(jobs)} comparisons, about 1")
    assert len({(str(job.case("")), job.cell, job.number) for job in jobs}) == len(jobs)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_any_first_part_of_the_plan_is_a_fair_one(share: float) -> None:
    jobs = plan_of(CELLS, ROUNDS)
    first = jobs[: round(share * len(jobs))]
    assert expected_s(first) == pytest.approx(share * expected_s(jobs), rel=0.2, abs=700)
    for kind in KINDS:
        cells = Counter(job.cell for job in first if job.kind == kind)
        total = sum(job.kind == kind for job in jobs)
        assert sum(cells.values()) == pytest.approx(share * total, abs=4)
        if cells:
            seen = [cells[cell] for cell in CELLS if not cell.rare]
            assert max(seen) - min(seen) <= 1
            rare = [cells[cell] for cell in CELLS if cell.rare]
            assert max(rare) <= 1 + max(seen) // RARELY
            loads = Counter(job.cell.condition for job in first if job.kind == kind)
            assert abs(loads[QUIET] - loads[LOADED]) <= 2


def test_a_plan_is_the_same_each_time() -> None:
    assert plan_of(CELLS, 2) == plan_of(CELLS, 2)


def test_models_without_fused_pairs_get_the_other_changes() -> None:
    jobs = plan_of(CELLS, 10 * ROUNDS)
    fused = {job.cell.models[0] for job in jobs if job.change.recorded}
    assert fused
    assert not fused & set(UNLIKE_MODELS)


def test_several_models_may_share_a_run() -> None:
    cells = cells_of(("A", "B", "C"), ("1",), (QUIET,), together=2)
    assert [cell.models for cell in cells] == [("A", "B"), ("C",)]


def test_stored_baselines_share_a_recording_interleaved_or_not_loaded_or_not() -> None:
    cell = CELLS[0]
    fused = next(change for change in STRUCTURE if change.recorded)
    auto, never, against = (Kind(tool, (NONE,), 1, 1.0) for tool in (Interleaved, Never, Against))
    busy = replace(cell, condition=LOADED)
    assert Job(auto, NONE, cell, 0).record == Job(never, TEN, busy, 1).record
    assert Job(auto, NONE, cell, 0).record != Job(auto, fused, cell, 0).record
    assert Job(auto, NONE, cell, 0).record != Job(against, NONE, cell, 0).record


class Mine(Tool):
    """A tool that runs nothing; ``refuses`` to record, ``compared`` what was injected."""

    name = "mine"

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__(SETTINGS)
        self.refuses = refuses
        self.recorded: list[Path] = []
        self.compared: list[str] = []

    def write(self, folder: Path, models: Sequence[str]) -> None:
        folder.mkdir()

    def record(self, folder: Path) -> Run:
        self.recorded.append(folder)
        return Run(0, "not recorded: busy", 3.0, 0.0, {"test_a": Outcome("passed", "", "")})

    def entries(self, folder: Path) -> int:
        return 0 if self.refuses else 1

    def compare(self, folder: Path) -> Run:
        self.compared.append(injected_in(folder).name)
        return Run(0, "", 2.0, 0.0, {})

    def judgements(self, run: Run, folder: Path, models: Sequence[str]) -> Mapping[str, Judgement]:
        return {model: Judgement("pass", call_ms=5.0) for model in models}


def comparisons(folder: Path, tool: Tool, minutes: float = 1.0) -> tuple[Comparisons, Path]:
    path = folder / "x.jsonl"
    own = {"minutes": minutes, "patience": 0.0}
    measuring = Measuring(Log(path, FACTS), True, (), 1, None, own)
    projects = folder / f"projects {len(list(folder.iterdir()))}"
    projects.mkdir()
    return Comparisons(measuring, {("mine", "1"): tool}, projects), path


CELL = Cell(("A",), "1", QUIET)
JOBS = [Job(Kind(Mine, (NONE, TEN), 1, 1.0), change, CELL, 0) for change in (NONE, TEN)]


def test_jobs_share_a_record_and_a_rerun_skips_what_is_done(tmp_path: Path) -> None:
    tool = Mine()
    ran, path = comparisons(tmp_path, tool)
    ran.run(ran.left(JOBS))
    assert all(line.case["condition"] == QUIET for line in read(path))
    assert (len(tool.recorded), tool.compared) == (1, ["none", "+10 %"])
    lines = [(line.case["injected"], line.figures["seconds"]) for line in read(path)]
    assert lines == [("recording", 3.0), ("none", 2.0), ("+10 %", 2.0)]
    again, _ = comparisons(tmp_path, tool)
    assert again.left(JOBS) == []


def test_a_plan_stops_when_its_minutes_are_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = Mine()
    ran, path = comparisons(tmp_path, tool, minutes=0.01)
    ran.run(ran.left(JOBS))
    assert (tool.recorded, path.exists()) == ([], False)
    assert "stopped: 2 comparisons are left; run again to continue" in capsys.readouterr().err


def test_a_recording_that_is_refused_counts_as_not_recorded(tmp_path: Path) -> None:
    tool = Mine(refuses=True)
    ran, path = comparisons(tmp_path, tool)
    ran.run(JOBS)
    assert (len(tool.recorded), tool.compared) == (2, [])
    seen = [line.figures for line in read(path)]
    assert seen == 2 * [{"verdict": "not recorded", "why": "not recorded: busy"}]


@pytest.mark.parametrize("name", [name for name in UNLIKE_MODELS if name != "Long call"])
def test_every_change_shows_in_the_operators_of_a_model_unlike(name: str, tmp_path: Path) -> None:
    model, batch = network(name)
    with torch.inference_mode():
        expected = model(batch)
    assert sum(size > 1 for size in expected.shape) >= 2
    for change in (one for one in STRUCTURE if one.code in CHANGES):
        inject(tmp_path, change)
        changed, _ = subject(name, str(tmp_path / "test_models.py"))
        with torch.inference_mode():
            result = changed(batch)
        assert torch.equal(result, expected)
        change_of = CHANGES[change.code]
        with torch.inference_mode(), torch.profiler.profile() as seen:
            change_of(expected)
        assert {event.name for event in seen.events() or ()} & set(change.operators)


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


def line(
    injected: str, word: str = "", condition: str = QUIET, tool: str = Against.name, **figures: Any
) -> Line:
    case = {"tool": tool, "injected": injected, "model": "A", "threads": "1"}
    seen = {"verdict": word, "named": False, "seconds": 2.0, "call_ms": 5.0, **figures}
    return Line(None, FACTS, {**case, "condition": condition}, 0, seen)


def rows_of(title: str, *lines: Line) -> dict[str, list[str]]:
    table = next(table for table in tables(lines) if table.title.startswith(title))
    return {row[0]: list(row[1:]) for row in table.rows}


def test_unchanged_code_is_counted_quiet_and_loaded() -> None:
    lines = [
        line("none", "pass", interval=[-0.01, 0.01], non_mac_interval=[0.01, 0.02]),
        line("none", "inconclusive", interval=[0.01, 0.02]),
        line("none", "fail", LOADED, interval=None),
        line("none", "error", LOADED),
    ]
    found = rows_of("The gates", *lines)
    assert found["unchanged, side by side: failures"] == ["0 of 2 (0 %)", "1 of 2 (50 %)"]
    assert found["unchanged, side by side: interval contains 0"] == ["1 of 2 (50 %)", "-"]
    assert found["unchanged, side by side: non-MAC interval contains 0"] == ["0 of 1 (0 %)", "-"]
    assert found["unchanged, side by side: pass"] == ["1 of 2 (50 %)", "0 of 2 (0 %)"]
    assert found["not recorded / error"] == ["0 / 0 of 2 (0 / 0 %)", "0 / 1 of 2 (0 / 50 %)"]
    assert "+10 %, side by side: fail / pass" not in found


def test_slower_calls_are_counted_as_failures_and_passes() -> None:
    lines = [line("+10 %", word) for word in ("fail", "fail", "pass", "inconclusive")]
    stored = line("none", "pass", tool=Interleaved.name, interleaved=True)
    found = rows_of("The gates", *lines, stored, line("+5 %", "fail", tool="hiddencost-against-2%"))
    assert found["+10 %, side by side: fail / pass"] == ["2 / 1 of 4 (50 / 25 %)"]
    assert found["+5 % at 2 %, side by side: fail / pass"] == ["1 / 0 of 1 (100 / 0 %)"]
    assert found["unchanged, stored: fail / decided"] == ["0 / 1 of 1 (0 / 100 %)"]
    assert found["unchanged, stored: measured in turns"] == ["1 of 1 (100 %)"]


def test_structure_counts_as_named_only_where_it_was_caught() -> None:
    lines = [
        line("copy", "fail", named=True),
        line("cat", "fail"),
        line("copy", "pass", named=True),
    ]
    found = rows_of("The gates", *lines)
    assert found["structure, side by side: caught / named"] == ["2 / 1 of 3 (66.7 / 33.3 %)"]


def test_times_are_those_of_short_calls_and_of_recordings_near_five_ms() -> None:
    long: dict[str, Any] = {"seconds": 60.0, "call_ms": 200.0}
    lines = [
        line("none", "pass", seconds=4.0),
        line("none", "pass", seconds=6.0),
        line("none", "pass", LOADED, **long),
        line("recording", seconds=9.0, tool=Baseline.name),
        line("recording", condition=LOADED, tool=Baseline.name, **long),
    ]
    found = rows_of("The gates", *lines)
    assert found["s a test, side by side"] == ["5.0 / 6.0 (2)", "-"]
    assert found["s to record three launches"] == ["9.0 / 9.0 (1)", "-"]


def test_each_model_and_each_tool_has_rows_of_its_own() -> None:
    lines = [line("none", "pass"), line("none", "fail", tool="pytest-torch", call_ms=None)]
    assert rows_of("A, 5 ms", *lines)["unchanged, side by side: failures"] == ["0 of 1 (0 %)"]
    assert rows_of("The tools", *lines) == {
        "hiddencost-against: unchanged, fail / decided": ["0 / 1 of 1 (0 / 100 %)"],
        "hiddencost-against: s a test": ["2.0 / 2.0 (1)"],
        "pytest-torch: unchanged, fail / decided": ["1 / 1 of 1 (100 / 100 %)"],
        "pytest-torch: s a test": ["2.0 / 2.0 (1)"],
    }
