"""The tables of the benchmark ``gates``: over all models, then for each model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.gates.comparisons import NOT_RECORDED, RECORDING
from benchmarks.gates.hiddencost import Against, AgainstTight, Baseline, Interleaved
from benchmarks.gates.plan import CONDITIONS, FIVE, TEN, THREADS, TOOLS
from benchmarks.lib.injections import NONE, STRUCTURE
from benchmarks.lib.log import Line
from benchmarks.lib.tables import NOTHING, Table, by

FAIL, PASS, OPEN = "fail", "pass", "inconclusive"
DECIDED = (FAIL, PASS)
SHORT_MS = 10.0  # calls up to this
ABOUT_FIVE_MS = (3.0, 8.0)
NOTE = "Counts of comparisons, with their share in brackets."


def failures(lines: Sequence[Line]) -> str:
    """Count the failures."""
    return _of(lines, _count(lines, FAIL))


def passes(lines: Sequence[Line]) -> str:
    """Count the passes."""
    return _of(lines, _count(lines, PASS))


def with_zero(lines: Sequence[Line]) -> str:
    """Count the intervals that contain 0."""
    return _with_zero(lines, "interval")


def with_zero_non_mac(lines: Sequence[Line]) -> str:
    """Count the intervals of non-MAC time that contain 0."""
    return _with_zero(lines, "non_mac_interval")


def _with_zero(lines: Sequence[Line], name: str) -> str:
    found = [line.figures[name] for line in lines if line.figures.get(name)]
    return _of(found, sum(low <= 0 <= high for low, high in found))


def failures_and_decided(lines: Sequence[Line]) -> str:
    """Count the failures, and what was decided either way."""
    return _of(lines, _count(lines, FAIL), _count(lines, *DECIDED))


def failures_and_passes(lines: Sequence[Line]) -> str:
    """Count the failures and the passes."""
    return _of(lines, _count(lines, FAIL), _count(lines, PASS))


def caught_and_named(lines: Sequence[Line]) -> str:
    """Count the failures, and those that name an operator of the change."""
    failed = [line for line in lines if line.figures["verdict"] == FAIL]
    return _of(lines, len(failed), sum(line.figures["named"] for line in failed))


def in_turns(lines: Sequence[Line]) -> str:
    """Count the comparisons that measured head and base in turns."""
    return _of(lines, sum(bool(line.figures.get("interleaved")) for line in lines))


def without_verdict(lines: Sequence[Line]) -> str:
    """Count what was not recorded, and the errors."""
    unrecorded = _count(lines, NOT_RECORDED)
    rest = len(lines) - unrecorded - _count(lines, *DECIDED, OPEN)
    return _of(lines, unrecorded, rest)


def seconds(lines: Sequence[Line]) -> str:
    """Return the median and the longest time."""
    found = [line.figures["seconds"] for line in lines if "seconds" in line.figures]
    return f"{median(found):.1f} / {max(found):.1f} ({len(found)})" if found else NOTHING


def _count(lines: Sequence[Line], *verdicts: str) -> int:
    return sum(line.figures["verdict"] in verdicts for line in lines)


def _of(among: Sequence[object], *counts: int) -> str:
    """Return ``3 / 97 of 100 (3 / 97 %)``."""
    if not among:
        return NOTHING
    shares = " / ".join(f"{100 * one / len(among):.3g}" for one in counts)
    return f"{' / '.join(map(str, counts))} of {len(among)} ({shares} %)"


@dataclass(frozen=True)
class Row:
    """A row: its title, the tools and changes of its lines, and the function of its cells."""

    title: str
    tools: tuple[str, ...]
    injected: tuple[str, ...]
    cell: Callable[[Sequence[Line]], str]
    call_ms: tuple[float, float] | None = None

    def of(self, lines: Sequence[Line]) -> list[Line]:
        """Return the lines of the row."""
        return [
            line
            for line in lines
            if line.case["tool"] in self.tools and line.case["injected"] in self.injected
        ]


STRUCTURES = tuple(change.name for change in STRUCTURE)
COMPARED = (NONE.name, FIVE.name, TEN.name, *STRUCTURES)
SIDES, STORED = (Against.name,), (Interleaved.name,)
SIDES_TIGHT = (AgainstTight.name,)
SHORT = (0.0, SHORT_MS)
ROWS = (
    Row("unchanged, side by side: failures", SIDES, (NONE.name,), failures),
    Row("unchanged, side by side: interval contains 0", SIDES, (NONE.name,), with_zero),
    Row(
        "unchanged, side by side: non-MAC interval contains 0",
        SIDES,
        (NONE.name,),
        with_zero_non_mac,
    ),
    Row("unchanged, side by side: pass", SIDES, (NONE.name,), passes),
    Row("+10 %, side by side: fail / pass", SIDES, (TEN.name,), failures_and_passes),
    Row("+5 % at 2 %, side by side: fail / pass", SIDES_TIGHT, (FIVE.name,), failures_and_passes),
    Row("unchanged, stored: fail / decided", STORED, (NONE.name,), failures_and_decided),
    Row("unchanged, stored: measured in turns", STORED, (NONE.name,), in_turns),
    Row("+10 %, stored: fail / pass", STORED, (TEN.name,), failures_and_passes),
    Row("structure, side by side: caught / named", SIDES, STRUCTURES, caught_and_named),
    Row("structure, stored: caught / named", STORED, STRUCTURES, caught_and_named),
    Row("not recorded / error", SIDES + SIDES_TIGHT + STORED, COMPARED, without_verdict),
    Row("s a test, side by side", SIDES + SIDES_TIGHT, COMPARED, seconds, SHORT),
    Row("s a test, stored", STORED, COMPARED, seconds, SHORT),
    Row("s to record three launches", (Baseline.name,), (RECORDING,), seconds, ABOUT_FIVE_MS),
)
TIMES = (
    f"The times are median / longest (number): of tests with calls up to {SHORT_MS:g} ms, and of "
    "recordings with calls of {:g} to {:g} ms.".format(*ABOUT_FIVE_MS)
)


BY_CONDITION = tuple((condition, {"condition": condition}) for condition in CONDITIONS)


def tables_of_machines(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the table over all models on all machines."""
    title = "The gates, over all models and machines"
    yield _table(title, ROWS, BY_CONDITION, lines, _calls_ms(lines), f"{NOTE} {TIMES}")


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the table over all models, one for all tools, and one for each model."""
    calls = _calls_ms(lines)
    yield _table("The gates, over all models", ROWS, BY_CONDITION, lines, calls, f"{NOTE} {TIMES}")
    yield _table("The tools, over all models", _tool_rows(), BY_CONDITION, lines, calls, NOTE)
    columns = [
        (f"{condition}, {_words(threads)}", {"condition": condition, "threads": threads})
        for condition in CONDITIONS
        for threads in THREADS
    ]
    for (model,), of in by(lines, "model").items():
        title = f"{model}, {_shown_ms(of)} ms a call"
        # The time of every length of a call is of interest here.
        rows = [Row(row.title, row.tools, row.injected, row.cell) for row in ROWS]
        yield _table(title, rows, columns, of, calls, "")


def _tool_rows() -> list[Row]:
    rows = []
    for name in (tool.name for tool in TOOLS if tool is not AgainstTight):
        rows += [
            Row(f"{name}: unchanged, fail / decided", (name,), (NONE.name,), failures_and_decided),
            Row(f"{name}: +10 %, fail / pass", (name,), (TEN.name,), failures_and_passes),
            Row(f"{name}: s a test", (name,), (NONE.name, TEN.name), seconds, SHORT),
        ]
    return rows


Columns = Sequence[tuple[str, dict[str, str]]]


def _table(
    title: str,
    rows: Sequence[Row],
    columns: Columns,
    lines: Sequence[Line],
    calls: dict[tuple[str, ...], float],
    note: str,
) -> Table:
    shown = [(words, keys) for words, keys in columns if any(_in(line, keys) for line in lines)]
    found = [(row, row.of(lines)) for row in rows]
    cells = [
        [
            row.title,
            *(
                row.cell([line for line in of if _in(line, keys) and _fits(line, row, calls)])
                for _, keys in shown
            ),
        ]
        for row, of in found
        if of
    ]
    return Table(title, ["", *(words for words, _ in shown)], cells, lines, note)


def _in(line: Line, keys: dict[str, str]) -> bool:
    return all(line.case[key] == value for key, value in keys.items())


def _fits(line: Line, row: Row, calls: dict[tuple[str, ...], float]) -> bool:
    """Return whether the calls of the line's cell are as long as the row takes them."""
    if row.call_ms is None:
        return True
    low, high = row.call_ms
    return low <= calls.get(_cell(line), calls.get((line.case["model"],), 0.0)) <= high


def _cell(line: Line) -> tuple[str, ...]:
    return line.case["model"], line.case["threads"], line.case["condition"]


def _calls_ms(lines: Sequence[Line]) -> dict[tuple[str, ...], float]:
    """Return the time of a call in each cell, and over the cells of each model."""
    found: dict[tuple[str, ...], list[float]] = {}
    for line in lines:
        if call_ms := line.figures.get("call_ms"):
            for key in (_cell(line), (line.case["model"],)):
                found.setdefault(key, []).append(call_ms)
    return {key: median(of) for key, of in found.items()}


def _shown_ms(lines: Sequence[Line]) -> str:
    found = [line.figures["call_ms"] for line in lines if line.figures.get("call_ms")]
    return f"{median(found):.2g}" if found else "unknown"


def _words(threads: str) -> str:
    return "1 thread" if threads == "1" else f"{threads} threads"
