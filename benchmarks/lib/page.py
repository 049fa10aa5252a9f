"""The page of results: every table that the committed lines make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.lib.benchmark import Benchmark
from benchmarks.lib.log import Line, comparable, read
from benchmarks.lib.registry import BENCHMARKS, RESULTS
from benchmarks.lib.tables import Table

PAGE = RESULTS.parent / "RESULTS.md"
HEAD = """\
# Results

`python -m benchmarks results` writes this page from the lines in `results/`. Do not edit it.
The caption of each table names the machine, the dates and the commits of its lines.
"Not recorded" means that the lines are older than the fields.
Brackets hold the smallest and the largest value; the figure in front of them is the median.
"""


def write(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Write the page."""
    page.write_text(rendered(results), encoding="utf-8")


def rendered(results: Path) -> str:
    """Return the page for the lines in a folder."""
    sections, missing = [HEAD], []
    for name, entry in BENCHMARKS.items():
        lines = read(results / f"{name}.jsonl")
        if lines:
            sections.append(f"## {name}\n\n{entry.question}\n\n{tables_text(entry.load(), lines)}")
        else:
            missing.append(f"`{name}`")
    if missing:
        sections.append(f"## Not measured yet\n\n{', '.join(missing)}\n")
    return "\n".join(sections)


def tables_text(benchmark: Benchmark, lines: Sequence[Line]) -> str:
    """Return all tables of a benchmark's lines in Markdown."""
    return "".join(f"{table.markdown()}\n\n" for table in _tables(benchmark, lines)).strip() + "\n"


def _tables(benchmark: Benchmark, lines: Sequence[Line]) -> Iterator[Table]:
    sets = comparable(lines, every_commit=benchmark.counted is not None)
    if benchmark.counted and len(sets) > 1:
        yield from benchmark.counted([line for of_set in sets for line in of_set])
    for of_set in sets:
        yield from (table for table in benchmark.tables(of_set) if table.rows)
