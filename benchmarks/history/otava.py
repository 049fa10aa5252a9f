"""Change points by Apache Otava and by the package, in the same made-up histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.history.alarms import AFTER, GROWTHS, YEAR, false_alarms, found_changes
from benchmarks.history.finders import FINDERS
from benchmarks.history.noises import NOISES
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.log import Case, Figures, Line
from benchmarks.lib.processes import fresh
from benchmarks.lib.tables import Table, by, part, values


def run(measuring: Measuring) -> None:
    """Simulate each kind of noise; both ways to find changes get the same histories."""
    for name, function, histories in (
        ("found", found_changes, measuring.own["histories"]),
        ("alarms", false_alarms, measuring.own["years"]),
    ):
        _simulate(measuring, name, function, histories)


def _simulate(
    measuring: Measuring, name: str, function: Callable[..., Figures], histories: int
) -> None:
    def figures(case: Case, number: int) -> Figures:
        arguments = {"noise": case["noise"], "finder": case["finder"], "histories": histories}
        found: Figures = fresh(function, {**arguments, "number": number}, measuring.threads)
        return found

    cases = [{"part": name, "noise": n, "finder": finder} for n in NOISES for finder in FINDERS]
    measuring.repeat(cases, figures)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the false alarms in a year, and the changes found."""
    yield _alarms(part(lines, "alarms"))
    yield _found(part(lines, "found"))


def _alarms(lines: Sequence[Line]) -> Table:
    rows = []
    for (noise,), of_noise in by(lines, "noise").items():
        found = by(of_noise, "finder")
        years = sum(values(next(iter(found.values())), "histories"))
        counts = [
            f"{sum(values(of_finder, name)) / sum(values(of_finder, 'histories')):.2f}"
            for name in ("rises", "falls")
            for of_finder in found.values()
        ]
        rows.append([noise, f"{years:.0f}", *counts])
    headers = [
        "noise",
        "histories",
        *(f"{name}, {f}" for name in ("rises", "falls") for f in FINDERS),
    ]
    title = f"False alarms of one call on one device in a year of {YEAR} runs"
    note = "Asked after every run about the last 20, with a p-value of 0.001 and 2 % at least."
    return Table(title, headers, rows, lines, note)


def _found(lines: Sequence[Line]) -> Table:
    rows = []
    for (noise,), of_noise in by(lines, "noise").items():
        for growth in GROWTHS:
            shares = [
                f"{100 * sum(found) / len(found):.0f} %"
                for after in AFTER
                for of_finder in by(of_noise, "finder").values()
                for found in [values(of_finder, f"{growth:g} after {after}")]
            ]
            rows.append([noise, f"+{100 * growth:.0f} %", *shares])
    headers = [
        "noise",
        "growth",
        *(f"{after} runs, {finder}" for after in AFTER for finder in FINDERS),
    ]
    return Table("Changes found so many runs after them", headers, rows, lines, left=2)


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(1, 1),
    own=(
        Setting("histories", "histories of each noise with a change", 100, 2),
        Setting("years", "histories of each noise without one, a year each", 20, 1),
    ),
)
