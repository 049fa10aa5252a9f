"""The comparison of two devices by their run files of the study; run it with ``python -m``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pytest_hiddencost.core import units
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.report import run_file
from pytest_hiddencost.study.results import BACKENDS, StudyResult, results_in
from pytest_hiddencost.study.tables import FEWEST_FOR_CORRELATION, correlation, table_lines

StudyResultPair = tuple[StudyResult, StudyResult]
"""Results of the same model and backend on device A and on device B."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the comparison; return the exit code, 2 if a file cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_hiddencost.study.compare",
        description="Compare the device study of two devices (run files of --hiddencost-json).",
    )
    parser.add_argument("a", type=Path, metavar="A.json")
    parser.add_argument("b", type=Path, metavar="B.json")
    options = parser.parse_args(arguments)
    try:
        lines = comparison_lines(options.a, options.b)
    except FormatError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def comparison_lines(path_a: Path, path_b: Path) -> list[str]:
    """Return the comparison as lines; raise ``FormatError`` for a file without study profiles."""
    (device_a, results_a), (device_b, results_b) = _load(path_a), _load(path_b)
    lines = [f"A: {_named(device_a)}", f"B: {_named(device_b)}"]
    both = [(a, b) for a in results_a for b in results_b if a.model == b.model]
    for backend in BACKENDS:
        if pairs := [pair for pair in both if {r.backend for r in pair} == {backend}]:
            lines += ["", *_table(backend, pairs)]
    if len(lines) == 2:
        raise FormatError(f"{path_a} and {path_b} have no model and backend in common")
    return lines


def _load(path: Path) -> tuple[Device, list[StudyResult]]:
    device, profiles = run_file.load(path)
    results = results_in(profiles)
    if not results:
        raise FormatError(
            f"{path}: holds no profile of the device study; record one with "
            "pytest --pyargs pytest_hiddencost.study --hiddencost-json=FILE"
        )
    return device, results


def _named(device: Device) -> str:
    threads = "thread" if device.threads == 1 else "threads"
    return f"{device.model}, {device.threads} {threads}, torch {device.torch}"


def _table(backend: str, pairs: Sequence[StudyResultPair]) -> list[str]:
    rows = [
        (
            a.model.name,
            units.format_number("duration", a.profile.latency.median_ns, "ms"),
            units.format_number("duration", b.profile.latency.median_ns, "ms"),
            f"{b.profile.latency.median_ns / a.profile.latency.median_ns:.2f}",
            f"{100 * a.profile.non_mac_share:.1f}",
            f"{100 * b.profile.non_mac_share:.1f}",
            f"{100 * _bookkeeping_share(a):.1f}",
            f"{100 * _bookkeeping_share(b):.1f}",
        )
        for a, b in pairs
    ]
    headers = [
        "model", "A p50 ms", "B p50 ms", "B/A", "A non-MAC %", "B non-MAC %",
        "A in Conv2D %", "B in Conv2D %",
    ]  # fmt: skip
    title = f"{backend} (in Conv2D: share of Conv2D that is not the convolution kernel)"
    lines = table_lines(title, rows, headers)
    if len(pairs) >= FEWEST_FOR_CORRELATION:
        lines.append(
            "Pearson correlation of MACs and time: "
            f"A {_mac_time_correlation(a for a, _ in pairs):.2f}, "
            f"B {_mac_time_correlation(b for _, b in pairs):.2f}"
        )
    return lines


def _bookkeeping_share(result: StudyResult) -> float:
    return 1.0 - result.inside_conv2d_shares()["convolution"] if result.conv2d() else 0.0


def _mac_time_correlation(results: Iterable[StudyResult]) -> float:
    columns = zip(*((r.profile.macs, r.profile.latency.median_ns) for r in results), strict=True)
    return correlation(*columns)


if __name__ == "__main__":
    raise SystemExit(main())
