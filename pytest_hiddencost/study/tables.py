"""The tables of the device study, as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from pytest_hiddencost.core import units
from pytest_hiddencost.core.roofline import BOUNDS, shares_by_bound
from pytest_hiddencost.report.device_table import FEWEST_FOR_CORRELATION
from pytest_hiddencost.report.replay_tables import replayed_total_ns
from pytest_hiddencost.study.results import (
    BACKENDS,
    DEFAULT_BACKEND,
    INSIDE_NAMES,
    ONEDNN_OFF,
    PART_NAMES,
    StudyResult,
)

KINDS = ("conv2d kxk", "conv2d 1x1", "conv2d grouped", "conv2d depthwise", "linear")
KIND_HEADERS = ("model", *(kind.removeprefix("conv2d ") for kind in KINDS), "spread")
RAW = "raw convolution"


def all_tables(results: Sequence[StudyResult]) -> Iterator[list[str]]:
    """Yield the study's tables as lines: those of each backend, then the correlations.

    Energies and replays have tables if the run measured them.
    """
    for backend in BACKENDS:
        found = [result for result in results if result.backend == backend]
        if not found:
            continue
        yield models_table(found)
        yield parts_table(found)
        yield inside_table(found)
        yield throughput_table(found)
        if any(result.profile.energy or result.profile.energy_unknown for result in found):
            yield energy_table(found)
        if replayed := [result for result in found if result.profile.replays]:
            yield replays_table(replayed)
    if len({result.model.name for result in results}) >= FEWEST_FOR_CORRELATION:
        yield correlation_table(results)


def models_table(results: Sequence[StudyResult]) -> list[str]:
    """Return parameters, MACs, latency, MAC rate and non-MAC share per model."""
    rows = []
    for result in results:
        p = result.profile
        rows.append(
            (
                result.model.name,
                "-" if p.parameters is None else f"{p.parameters / 1e6:.3g}",
                "-" if p.thop_macs is None else units.format_number("macs", p.thop_macs, "MMAC"),
                units.format_number("macs", p.macs, "MMAC"),
                units.format_number("duration", p.latency.median_ns, "ms"),
                units.format_number("mac_rate", p.mac_rate, "GMAC/s"),
                units.format_share(p.non_mac_share),
            )
        )
    headers = ["model", "params M", "thop MMAC", "MMAC", "p50 ms", "GMAC/s", "non-MAC"]
    return table_lines(f"Models, {results[0].backend}", rows, headers)


def parts_table(results: Sequence[StudyResult]) -> list[str]:
    """Return the share of the latency per kind of layer."""
    rows = [(r.model.name, *_percents(r.part_shares(), PART_NAMES)) for r in results]
    title = f"Where the latency goes, {results[0].backend} (% of p50)"
    return table_lines(title, rows, ["model", *PART_NAMES])


def inside_table(results: Sequence[StudyResult]) -> list[str]:
    """Return the share of Conv2D's time per kind of operator inside it."""
    names = (*INSIDE_NAMES, RAW)
    rows = []
    for result in results:
        shares = {**result.inside_conv2d_shares(), RAW: result.raw_convolution_share()}
        rows.append((result.model.name, *_percents(shares, names)))
    explained = "% of Conv2D; slice with its as_strided; raw: as profiled"
    title = f"Inside Conv2D, {results[0].backend} ({explained})"
    return table_lines(title, rows, ["model", *names])


def throughput_table(results: Sequence[StudyResult]) -> list[str]:
    """Return MACs per second of kernel time by MAC kind, and the fastest over the slowest."""
    form = partial(units.format_number, "mac_rate", unit="GMAC/s")
    rows = [_kind_row(result, result.kind_rates(), form) for result in results]
    title = f"Throughput by kind, {results[0].backend} (GMAC/s of kernel time)"
    return table_lines(title, rows, KIND_HEADERS)


def energy_table(results: Sequence[StudyResult]) -> list[str]:
    """Return the energy of a MAC by MAC kind, or why it is unknown."""
    title = f"Energy by kind, {results[0].backend} (nJ/MAC)"
    energies = [(result, result.kind_energies_nj()) for result in results]
    if any(found for _, found in energies):
        rows = [_kind_row(result, found, "{:.3g}".format) for result, found in energies]
        return table_lines(title, rows, KIND_HEADERS)
    unknown = next((r.profile.energy_unknown for r in results if r.profile.energy_unknown), None)
    reason = "no operator was replayed; add --hiddencost-kinds"
    return [title, "", reason if unknown is None else unknown.reason]


def _kind_row(
    result: StudyResult, values: Mapping[str, float], form: Callable[[float], str]
) -> list[str]:
    """Return a model's row: the value of each kind, and the largest over the smallest."""
    found = values.values()
    spread = f"{max(found) / min(found):.1f} x" if len(values) > 1 else "-"
    cells = [form(values[kind]) if kind in values else "-" for kind in KINDS]
    return [result.model.name, *cells, spread]


def replays_table(results: Sequence[StudyResult]) -> list[str]:
    """Return the sum of the replays against the latency, and the shares of their bounds."""
    rows = []
    for result in results:
        p = result.profile
        replayed_ns = replayed_total_ns(p.replays)
        bounds = shares_by_bound(p.replays, p.peaks).values() if p.peaks else ()
        rows.append(
            (
                result.model.name,
                units.format_number("duration", replayed_ns, "ms"),
                units.format_number("duration", p.latency.median_ns, "ms"),
                *(f"{100 * share:.1f}" for share in (replayed_ns / p.latency.median_ns, *bounds)),
            )
        )
    title = f"Replays, {results[0].backend} (bounds: % of the replayed time)"
    headers = ["model", "replays ms", "p50 ms", "% of p50", *BOUNDS]
    return table_lines(title, rows, headers)


def correlation_table(results: Sequence[StudyResult]) -> list[str]:
    """Return Pearson's correlations between accuracy, size, MACs and latency over the models."""
    names, matrix, count = correlations(results)
    if not names:
        return ["Pearson correlation: fewer than three models were measured on every backend"]
    rows = [(n, *(f"{x:.2f}" for x in row)) for n, row in zip(names, matrix, strict=True)]
    title = f"Pearson correlation over {count} models (accuracy as published)"
    return table_lines(title, rows, ["", *names])


def correlations(results: Sequence[StudyResult]) -> tuple[list[str], list[list[float]], int]:
    """Return the quantities, the rows of their correlation matrix, and the number of models.

    No quantity is returned if fewer than three models were measured on every backend.
    """
    backends = [b for b in BACKENDS if any(r.backend == b for r in results)]
    by_key = {(r.model.name, r.backend): r for r in results}
    names = dict.fromkeys(r.model.name for r in results)
    complete = [name for name in names if all((name, backend) in by_key for backend in backends)]
    if len(complete) < FEWEST_FOR_CORRELATION:
        return [], [], len(complete)
    first = [by_key[name, backends[0]] for name in complete]
    columns = {
        "accuracy": [r.model.top1_percent for r in first],
        "parameters": [float(r.profile.parameters or 0) for r in first],
        "MACs": [float(r.profile.macs) for r in first],
    }
    headers = {DEFAULT_BACKEND: "time", ONEDNN_OFF: "time, oneDNN off"}
    for backend in backends:
        latencies = (by_key[name, backend].profile.latency for name in complete)
        columns[headers[backend]] = [latency.median_ns for latency in latencies]
    import numpy as np

    matrix = np.corrcoef(list(columns.values()))
    return list(columns), [[float(x) for x in row] for row in matrix], len(complete)


def _percents(shares: dict[str, float], names: Sequence[str]) -> list[str]:
    return [f"{100 * shares[name]:.1f}" for name in names]


def table_lines(title: str, rows: Sequence[Sequence[object]], headers: Sequence[str]) -> list[str]:
    """Return the title, an empty line and the table as lines; only the first column is text."""
    from tabulate import tabulate

    align = ("left",) + ("right",) * (len(headers) - 1)
    table = tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)
    return [title, "", *(line.rstrip() for line in table.splitlines())]
