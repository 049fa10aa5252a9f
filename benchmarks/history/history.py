"""The store of runs: is it fast, does it lose anything, and how often is a trend a false alarm?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.history.alarms import AFTER, GROWTHS, YEAR, false_alarms, found_changes
from benchmarks.history.contention import together
from benchmarks.history.made_up_runs import write_runs
from benchmarks.history.noises import NOISES
from benchmarks.history.scale import QUESTIONS, asked, compacted, merges
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.log import Case, Figures, Line
from benchmarks.lib.processes import fresh
from benchmarks.lib.tables import NOTHING, Table, by, part, spread, values

PARTS = ("alarms", "found", "scale", "contention")
LEFT, LARGE = "as runs leave them", "compacted"


def run(measuring: Measuring) -> None:
    """Measure the parts that were asked for."""
    parts = measuring.own["parts"]
    for name, function in (("alarms", false_alarms), ("found", found_changes)):
        if name in parts:
            _simulate(measuring, name, function)
    with tempfile.TemporaryDirectory() as folder:
        if "scale" in parts:
            _scale(measuring, str(Path(folder) / "store"))
        if "contention" in parts:
            _contention(measuring, Path(folder))


def _simulate(measuring: Measuring, name: str, function: Callable[..., Figures]) -> None:
    """Simulate each kind of noise; each repetition has histories of its own."""

    def figures(case: Case, number: int) -> Figures:
        arguments = {"noise": case["noise"], "histories": measuring.own["histories"]}
        found: Figures = fresh(function, {**arguments, "number": number}, measuring.threads)
        return found

    measuring.repeat([{"part": name, "noise": noise} for noise in NOISES], figures)


def _scale(measuring: Measuring, store: str) -> None:
    cases = [
        {"part": "scale", "files": files, "question": question}
        for files in (LEFT, LARGE)
        for question in [*([] if files == LEFT else ["compaction"]), *QUESTIONS]
    ]
    if all(measuring.log.has(case, n) for case in cases for n in range(measuring.processes)):
        return
    devices, calls, days = (measuring.own[name] for name in ("devices", "calls", "days"))
    added = write_runs(store, devices, calls, days)
    measuring.log.add([({"part": "merges"}, 0, merges(added, store))])
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
    yield _merges(part(lines, "merges"))
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
                for n in AFTER
            ]
            rows.append([noise, f"+{100 * growth:.0f} %", *cells])
    headers = ["noise", "growth", "6 runs after", "10 runs after", "20 runs after"]
    return Table("Changes found, after 60 runs before them", headers, rows, lines, left=2)


def _merges(lines: Sequence[Line]) -> Table:
    rows = [
        [
            str(line.figures["runs"]),
            str(line.figures["files"]),
            *(f"{line.figures[name]:.0f}" for name in ("mean_ms", "median_ms", "most_ms")),
        ]
        for line in lines
    ]
    headers = ["runs", "files in runs", "mean, ms", "median, ms", "longest, ms"]
    note = "The time that each run spends on the merging of small files, after it added its own."
    return Table("Merging by runs", headers, rows, lines, note)


def _seconds(lines: Sequence[Line]) -> Table:
    rows = [
        [question, files, *(_spread(found, name) for name in ("seconds", "cpu_seconds", "peak_mb"))]
        for (question, files), found in by(lines, "question", "files").items()
    ]
    headers = ["question", "files", "seconds", "processor, s", "peak memory, MB"]
    note = "Each is a command of its own, with the start of Python; processor time does not wait."
    return Table("Questions to a store", headers, rows, lines, note, left=2)


def _spread(found: Sequence[Line], figure: str) -> str:
    """Return the figure's spread; older lines may lack it."""
    known = [line.figures[figure] for line in found if figure in line.figures]
    return spread(known, "{:.3g}") if known else NOTHING


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
    note = (
        "Each run merges small files. Two compactions run as well, and are killed as writers are."
    )
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
