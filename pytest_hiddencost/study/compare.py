"""The comparison of two devices by their run files of the study: the papers' tables."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_hiddencost.core import units
from pytest_hiddencost.report.device_table import mac_time_correlation
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.study.results import BACKENDS, StudyResult, results_in
from pytest_hiddencost.study.tables import table_lines

StudyResultPair = tuple[StudyResult, StudyResult]
"""Results of the same model and backend on device A and on device B."""


def device_tables(a: RunFile, b: RunFile) -> list[str]:
    """Return a table for each backend, as lines; none if no model was measured on both."""
    both = [
        (of_a, of_b)
        for of_a in results_in(a.profiles)
        for of_b in results_in(b.profiles)
        if of_a.model == of_b.model
    ]
    lines: list[str] = []
    for backend in BACKENDS:
        if pairs := [pair for pair in both if {r.backend for r in pair} == {backend}]:
            lines += ["", *_table(backend, pairs)]
    return lines[1:]


def _table(backend: str, pairs: Sequence[StudyResultPair]) -> list[str]:
    rows = [
        (
            a.model.name,
            units.format_number("duration", a.profile.latency.median_ns, "ms"),
            units.format_number("duration", b.profile.latency.median_ns, "ms"),
            f"{b.profile.latency.median_ns / a.profile.latency.median_ns:.2f}",
            f"{100 * a.profile.non_mac_share:.1f}",
            f"{100 * b.profile.non_mac_share:.1f}",
            f"{100 * a.bookkeeping_share():.1f}",
            f"{100 * b.bookkeeping_share():.1f}",
        )
        for a, b in pairs
    ]
    headers = [
        "model", "A p50 ms", "B p50 ms", "B/A", "A non-MAC %", "B non-MAC %",
        "A in Conv2D %", "B in Conv2D %",
    ]  # fmt: skip
    title = f"{backend} (in Conv2D: share of Conv2D that is not the convolution kernel)"
    lines = table_lines(title, rows, headers)
    of_a, of_b = (
        mac_time_correlation([r.profile for r in side]) for side in zip(*pairs, strict=True)
    )
    if of_a is not None and of_b is not None:
        lines.append(f"Pearson correlation of MACs and time: A {of_a:.2f}, B {of_b:.2f}")
    return lines
