"""The study's figures for the HTML report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytest_hiddencost.core.records import Device, Profile
from pytest_hiddencost.report.device_table import mac_time_correlation
from pytest_hiddencost.report.html.study_figures import (
    BackendFigures,
    DevicePair,
    ModelValues,
    StudyFigures,
)
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.study.results import (
    BACKENDS,
    INSIDE_NAMES,
    PART_NAMES,
    StudyResult,
    results_in,
)
from pytest_hiddencost.study.tables import KINDS, correlations

MS = 1e6  # in ns


def figures_of(head: RunFile, base: RunFile | None = None) -> StudyFigures | None:
    """Return the figures of the study in a run, and against a base on another device.

    None if the run holds no profile of the study.
    """
    results = results_in(head.profiles)
    if not results:
        return None
    found = [(b, [r for r in results if r.backend == b]) for b in BACKENDS]
    quantities, matrix, _ = correlations(results)
    other = [] if base is None else results_in(base.profiles)
    return StudyFigures(
        backends=tuple(_backend(name, of_backend) for name, of_backend in found if of_backend),
        quantities=tuple(quantities),
        correlations=tuple(tuple(row) for row in matrix),
        against=tuple(_pairs(results, other)),
        names=(_named(head.device), "" if base is None else _named(base.device)),
    )


def _backend(name: str, results: Sequence[StudyResult]) -> BackendFigures:
    profiles = [result.profile for result in results]
    return BackendFigures(
        backend=name,
        models=tuple(result.model.name for result in results),
        models_table={
            "accuracy": [result.model.top1_percent for result in results],
            "parameters": [None if p.parameters is None else p.parameters / 1e6 for p in profiles],
            "MACs": [p.macs / 1e6 for p in profiles],
            "time": [p.latency.median_ns / MS for p in profiles],
        },
        parts=_columns(PART_NAMES, [result.part_shares() for result in results]),
        inside_conv2d=_columns(INSIDE_NAMES, [r.inside_conv2d_shares() for r in results]),
        rates={
            kind: [_giga(result.kind_rates().get(kind)) for result in results] for kind in KINDS
        },
    )


def _columns(names: Sequence[str], rows: Sequence[dict[str, float]]) -> ModelValues:
    return {name: [row[name] for row in rows] for name in names}


def _giga(rate: float | None) -> float | None:
    return None if rate is None else rate / 1e9


def _pairs(head: Sequence[StudyResult], base: Sequence[StudyResult]) -> list[DevicePair]:
    of_base = {(result.model.name, result.backend): result for result in base}
    found = []
    for backend in BACKENDS:
        pairs = [
            (result, of_base[result.model.name, backend])
            for result in head
            if result.backend == backend and (result.model.name, backend) in of_base
        ]
        if pairs:
            found.append(_pair(backend, [a for a, _ in pairs], [b for _, b in pairs]))
    return found


def _pair(backend: str, head: Sequence[StudyResult], base: Sequence[StudyResult]) -> DevicePair:
    def column(
        results: Sequence[StudyResult], value: Callable[[Profile], float]
    ) -> tuple[float, ...]:
        return tuple(value(result.profile) for result in results)

    of_head, of_base = (
        mac_time_correlation([r.profile for r in results]) for results in (head, base)
    )
    return DevicePair(
        backend=backend,
        models=tuple(result.model.name for result in head),
        head_ms=column(head, lambda p: p.latency.median_ns / MS),
        base_ms=column(base, lambda p: p.latency.median_ns / MS),
        head_non_mac=column(head, lambda p: p.non_mac_share),
        base_non_mac=column(base, lambda p: p.non_mac_share),
        head_in_conv2d=tuple(r.bookkeeping_share() for r in head),
        base_in_conv2d=tuple(r.bookkeeping_share() for r in base),
        correlations=None if of_head is None or of_base is None else (of_head, of_base),
    )


def _named(device: Device) -> str:
    threads = "thread" if device.threads == 1 else "threads"
    return f"{device.model}, {device.threads} {threads}, torch {device.torch}"
