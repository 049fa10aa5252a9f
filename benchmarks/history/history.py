"""The store of runs: is it fast, does it lose anything, and how often is a trend a false alarm?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.history.alarms import GROWTHS, YEAR, false_alarms, found_changes
from benchmarks.history.contention import together
from benchmarks.history.made_up_runs import write_runs
from benchmarks.history.noises import NOISES
from benchmarks.history.scale import QUESTIONS, asked, compacted
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.log import Line
from benchmarks.lib.tables import Table, by, part, spread, values

PARTS = ("alarms", "found", "scale", "contention")
SMALL, LARGE = "a file a run", "compacted"


def run(measuring: Measuring) -> None:
    """Measure the parts that were asked for."""
    parts = measuring.own["parts"]
    histories = measuring.own["histories"]
    for name, function in (("alarms", false_alarms), ("found", found_changes)):
        if name in parts:
            cases = [{"part": name, "noise": noise} for noise in NOISES]
            measuring.in_fresh_processes(function, cases, histories=histories)
    with tempfile.TemporaryDirectory() as folder:
        if "scale" in parts:
            _scale(measuring, str(Path(folder) / "store"))
        if "contention" in parts:
            _contention(measuring, Path(folder))


def _scale(measuring: Measuring, store: str) -> None:
    cases = [
        {"part": "scale", "files": files, "question": question}
        for files in (SMALL, LARGE)
        for question in [*([] if files == SMALL else ["compaction"]), *QUESTIONS]
    ]
    if all(measuring.log.has(case, n) for case in cases for n in range(measuring.processes)):
        return
    devices, calls, days = (measuring.own[name] for name in ("devices", "calls", "days"))
    write_runs(store, devices, calls, days)
    for case in cases:
        question = str(case["question"])
        times = 1 if question == "compaction" else measuring.processes
        for number in range(times):
            figures = compacted(store) if question == "compaction" else asked(store, question)
            measuring.log.add([(case, number, figures)])


def _contention(measuring: Measuring, folder: Path) -> None:
    case = {"part": "contention", "writers": measuring.own["writers"]}
    own = measuring.own
    measuring.measure(
        [case], 0, lambda: [together(folder, own["writers"], own["seconds"], own["kills"])]
    )


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the tables of all parts."""
    yield _alarms(part(lines, "alarms"))
    yield _found(part(lines, "found"))
    yield _seconds(part(lines, "scale"))
    yield _losses(part(lines, "contention"))


def _alarms(lines: Sequence[Line]) -> Table:
    rows = []
    for (noise,), found in by(lines, "noise").items():
        years = sum(values(found, "histories"))
        rises, falls = (sum(values(found, name)) for name in ("rises", "falls"))
        at_most = _upper(rises, years)
        rows.append(
            [
                noise,
                f"{years:.0f}",
                f"{rises / years:.3f}",
                f"{at_most:.3f}",
                f"{falls / years:.3f}",
            ]
        )
    title = f"False alarms of one call on one device in a year of {YEAR} runs"
    headers = ["noise", "histories", "rises", "at most, 95 %", "falls"]
    note = "The gate is asked after every run about the last 20. Nothing changed in the histories."
    return Table(title, headers, rows, lines, note)


def _upper(count: float, years: float) -> float:
    """Return the upper limit of a Poisson rate at 95 % confidence (F. Garwood, 1936)."""
    from scipy.stats import chi2

    return float(chi2.ppf(0.95, 2 * (count + 1))) / 2 / years


def _found(lines: Sequence[Line]) -> Table:
    rows = []
    for (noise,), found in by(lines, "noise").items():
        for growth in GROWTHS:
            cells = [
                f"{100 * sum(values(found, f'{growth:g} after {n}')) / len(found):.0f} %"
                for n in (6, 10, 20)
            ]
            rows.append([noise, f"+{100 * growth:.0f} %", *cells])
    headers = ["noise", "growth", "6 runs after", "10 runs after", "20 runs after"]
    return Table("Changes found, after 60 runs before them", headers, rows, lines, left=2)


def _seconds(lines: Sequence[Line]) -> Table:
    rows = [
        [question, files, spread(values(found, "seconds"), "{:.2f}"),
         spread(values(found, "peak_mb"), "{:.0f}")]
        for (question, files), found in by(lines, "question", "files").items()
    ]  # fmt: skip
    headers = ["question", "files", "seconds", "peak memory, MB"]
    note = "Each is a command of its own, with the start of Python."
    return Table("Questions to a store", headers, rows, lines, note, left=2)


def _losses(lines: Sequence[Line]) -> Table:
    names = (
        "added",
        "killed",
        "reads",
        "unanswered",
        "broken_reads",
        "lost",
        "twice",
        "broken",
        "half",
    )
    rows = [
        [str(line.case["writers"]), *(str(line.figures[name]) for name in names)] for line in lines
    ]
    headers = [
        "writers", "runs added", "kills", "reads", "unanswered", "wrong", "lost", "double",
        "incomplete", "half-visible",
    ]  # fmt: skip
    note = "Two compactions run all the time, and are killed as the writers are."
    return Table("Writers at once", headers, rows, lines, note)


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(3, 1),
    own=(
        Setting("parts", "parts", PARTS, PARTS, known=PARTS),
        Setting("histories", "histories of each noise", 100, 2),
        Setting("devices", "devices of the store", 50, 2, recorded=True),
        Setting("calls", "calls of each device", 200, 10, recorded=True),
        Setting("days", "days of runs", 100, 12, recorded=True),
        Setting("writers", "processes that add runs", 16, 3, recorded=True),
        Setting("seconds", "time that they run", 60.0, 3.0, recorded=True),
        Setting("kills", "processes killed", 200, 6, recorded=True),
    ),
)
