"""The code that benchmarks share: the command line, the results log, and the page of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lib import page, repository
from benchmarks.lib.benchmark import Benchmark, Measuring
from benchmarks.lib.command_line import listing, main, measuring, parser_for
from benchmarks.lib.log import Facts, Line, Log, comparable, read
from benchmarks.lib.page import tables_text
from benchmarks.lib.processes import environment, fresh
from benchmarks.lib.registry import BENCHMARKS, RESULTS
from benchmarks.lib.repository import ROOT, code_commit, commit_project, git
from benchmarks.lib.tables import Table, caption, spread

MACHINE = {"processor": "Board", "cores": 4, "python": "3.12.1", "torch": "2.13.0"}
FACTS = Facts("abc1234", False, MACHINE, {"short": False, "threads": 1})


def line(number: int = 0, facts: Facts = FACTS, **case: Any) -> Line:
    return Line("2026-05-01T10:00:00Z", facts, case, number, {"took_s": 1.5})


def measured(
    path: Path, arguments: list[str], name: str = "closure"
) -> tuple[Benchmark, Measuring]:
    benchmark = BENCHMARKS[name].load()
    options = parser_for(name, benchmark).parse_args([f"--results={path}", *arguments])
    return benchmark, measuring(benchmark, options)


def test_without_a_name_the_benchmarks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == f"{listing()}\n"
    assert all(f"  {name} " in listing() for name in BENCHMARKS)


def test_an_unknown_benchmark_is_refused_with_those_that_exist(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["speed", "--short"]) == 2
    told = capsys.readouterr().err
    assert "no benchmark is called 'speed'" in told
    assert all(name in told for name in [*BENCHMARKS, "results"])


@pytest.mark.parametrize(
    ("name", "option", "told"),
    [
        ("closure", "--models=VGG16,AlexNet", "no model is called 'AlexNet'; known: VGG16, Inc"),
        ("ablation", "--models=VGG16", "no model is called 'VGG16'; known: MobileNet, ResNet50"),
        ("idle", "--models=VGG16", "known: none, idle has no choice of models"),
        ("closure", "--processes=0", "'0' is no positive whole number"),
        ("closure", "--threads=two", "'two' is no positive whole number"),
        ("gates", "--tools=asv", "no tool is called 'asv'; known: hiddencost-against, hiddenc"),
        ("gates", "--threads=2", "no thread is called '2'; known: 1, default"),
        ("gates", "--seconds=long", "invalid float value: 'long'"),
        ("idle", "--shor", "unrecognized arguments: --shor"),
    ],
)
def test_a_wrong_value_is_refused_with_those_accepted(
    name: str, option: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([name, option])
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_the_common_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    told = capsys.readouterr().out
    common = ("--short", "--models", "--processes", "--threads", "--results", "--tables")
    assert all(f" {option} " in told for option in common)


def test_the_short_form_has_defaults_of_its_own(tmp_path: Path) -> None:
    benchmark, full = measured(tmp_path / "x.jsonl", [])
    _, short = measured(tmp_path / "x.jsonl", ["--short"])
    _, given = measured(
        tmp_path / "x.jsonl", ["--short", "--processes=7", "--models=VGG16,Xception"]
    )
    assert (full.models, full.processes) == (benchmark.models[0], benchmark.processes[0])
    assert (short.models, short.processes) == (("MobileNet",), 1)
    assert (given.models, given.processes) == (("VGG16", "Xception"), 7)


def test_threads_of_the_case_are_no_option_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    _, found = measured(path, ["--threads=default,1"], "gates")
    assert (found.threads, found.own["threads"]) == (None, ("default", "1"))
    found.log.add([({"model": "A"}, 0, {"took_s": 1.0})])
    assert read(path)[0].facts.options == {"short": False, "seconds": 2.0, "together": 1}
    assert caption(read(path)).endswith("options: seconds 2, together 1; lines: 1")


def test_a_rerun_measures_only_what_is_missing(tmp_path: Path) -> None:
    calls: list[tuple[Any, int]] = []

    def figures(case: Mapping[str, Any], number: int) -> dict[str, float]:
        calls.append((case["model"], number))
        return {"took_s": 1.0}

    cases = [{"model": "A"}, {"model": "B"}]
    for processes in (1, 2):
        log = Log(tmp_path / "x.jsonl", FACTS)
        Measuring(log, True, (), processes, None, {}).repeat(cases, figures)
    assert calls == [("A", 0), ("B", 0), ("A", 1), ("B", 1)]


def test_other_code_machine_or_options_are_measured_again(tmp_path: Path) -> None:
    Log(tmp_path / "x.jsonl", FACTS).add([({"model": "A"}, 0, {"took_s": 1.0})])
    for facts, has in (
        (FACTS, True),
        (Facts("def5678", False, FACTS.machine, FACTS.options), False),
        (Facts(FACTS.commit, True, FACTS.machine, FACTS.options), False),
        (Facts(FACTS.commit, False, {**MACHINE, "cores": 2}, FACTS.options), False),
        (Facts(FACTS.commit, False, FACTS.machine, {"short": True, "threads": 1}), False),
    ):
        assert Log(tmp_path / "x.jsonl", facts).has({"model": "A"}, 0) is has


def test_half_a_line_of_a_killed_run_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results" / "x.jsonl"
    Log(path, FACTS).add([({"model": "A"}, 0, {"took_s": 1.0})])
    with path.open("a") as file:
        file.write('{"date": "2026-05-01')
    Log(path, FACTS).add([({"model": "A"}, 1, {"took_s": 2.0})])
    assert [(one.number, one.figures["took_s"]) for one in read(path)] == [(0, 1.0), (1, 2.0)]


def test_a_line_is_read_as_it_was_written() -> None:
    written = line(3, model="A")
    assert Line.from_json(written.to_json()) == written


def test_tables_have_one_machine_and_options_and_the_newest_commit_of_a_case() -> None:
    newer = Facts("def5678", False, MACHINE, FACTS.options)
    other = Facts("abc1234", False, {**MACHINE, "cores": 2}, FACTS.options)
    old, kept, new = line(0, model="A"), line(1, model="B"), line(0, newer, model="A")
    elsewhere = line(0, other, model="A")
    assert comparable([old, kept, elsewhere, new]) == [[kept, new], [elsewhere]]
    every = comparable([old, kept, elsewhere, new], every_commit=True)
    assert every == [[old, kept, new], [elsewhere]]


def test_a_caption_names_machine_dates_commits_and_options() -> None:
    changed = Facts("def5678", True, MACHINE, FACTS.options)
    later = Line("2026-05-03T10:00:00Z", changed, {}, 0, {})
    assert caption([line(), line(1), later]) == (
        "Machine: Board, 4 cores, Python 3.12.1, torch 2.13.0; dates: 2026-05-01 to 2026-05-03; "
        "commits: abc1234, def5678 with changes; options: threads 1; lines: 3"
    )


def test_a_caption_over_several_machines_names_each_once() -> None:
    other = Facts("abc1234", False, {**MACHINE, "cores": 2}, FACTS.options)
    words = caption([line(), line(1, other), line(2)])
    assert words.startswith(
        "Machines: Board, 4 cores, Python 3.12.1, torch 2.13.0"
        " and Board, 2 cores, Python 3.12.1, torch 2.13.0; dates"
    )


def test_outcomes_are_counted_over_machines_and_commits() -> None:
    def counting(lines: Sequence[Line]) -> list[Table]:
        return [Table("All", ["lines"], [[str(len(lines))]], lines)]

    other = Facts("def5678", False, {**MACHINE, "cores": 2}, FACTS.options)
    newer = Facts("def5678", False, MACHINE, FACTS.options)
    lines = [line(0), line(0, newer), line(0, other)]
    benchmark = Benchmark(lambda _: None, counting, (1, 1), counted=counting)
    counts = [row for row in tables_text(benchmark, lines).splitlines() if row[2:3].isdigit()]
    assert [row.split()[1] for row in counts] == ["3", "2", "1"]


def test_a_caption_admits_what_is_not_recorded() -> None:
    facts = Facts(None, False, {}, {"short": True, "threads": None, "seconds": 0.5})
    assert caption([Line(None, facts, {}, 0, {})]) == (
        "Machine: not recorded; dates: not recorded; commits: not recorded; "
        "options: short, torch's default threads, seconds 0.5; lines: 1"
    )


def test_a_table_is_markdown_with_its_caption() -> None:
    table = Table("Times", ["model", "time, s"], [["A", "1.5"]], [line()], "Shorter is better.")
    title, _, head, _, row, _, last = table.markdown().splitlines()
    assert title == "**Times.** Shorter is better."
    assert (head.split(), row.split()) == (
        ["|", "model", "|", "time,", "s", "|"],
        ["|", "A", "|", "1.5", "|"],
    )
    assert last.startswith("*Machine: Board")


@pytest.mark.parametrize(
    ("found", "told"), [([2.0], "2"), ([3.0, 1.0, 2.0], "2 (1 to 3)"), ([1.0, 2.0], "1.5 (1 to 2)")]
)
def test_a_spread_is_the_median_with_its_range(found: list[float], told: str) -> None:
    assert spread(found) == told


def test_results_do_not_make_the_code_look_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    code = tmp_path / "benchmarks" / "code.py"
    code.write_text("")
    commit_project(tmp_path, "benchmarks")
    commit = git(tmp_path, "log", "-1", "--format=%h")
    (tmp_path / "benchmarks" / "results" / "x.jsonl").write_text("")
    (tmp_path / "benchmarks" / "RESULTS.md").write_text("")
    assert code_commit() == (commit, False)
    commit_project(tmp_path, "benchmarks")
    assert code_commit() == (commit, False)
    code.write_text("changed")
    assert code_commit() == (commit, True)


def test_without_a_repository_the_commit_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    assert code_commit() == ("unknown", False)


def test_a_fresh_process_returns_a_functions_result() -> None:
    assert fresh(spread, {"found": [1.0, 2.0, 3.0], "form": "{:.1f}"}) == "2.0 (1.0 to 3.0)"


def test_threads_are_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--strict-markers")
    monkeypatch.setenv("PYTHONPATH", "mine")
    found = environment(3)
    assert (found["OMP_NUM_THREADS"], found["PYTHONPATH"]) == ("3", f"{ROOT}:mine")
    assert "PYTEST_ADDOPTS" not in found


def test_threads_are_torchs_own_whatever_this_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert "OMP_NUM_THREADS" not in environment()


def test_the_page_of_results_is_what_the_committed_lines_make() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.rendered(RESULTS)


def test_every_results_file_belongs_to_a_benchmark() -> None:
    assert {file.stem for file in RESULTS.glob("*")} <= set(BENCHMARKS)


def test_the_readme_has_the_question_of_every_benchmark() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    rows = [row for row in text.splitlines() if row.startswith("| `")]
    assert rows == [f"| `{name}` | {entry.question} |" for name, entry in BENCHMARKS.items()]
