"""The study's figures in the report are those of its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.study.figures import figures_of
from pytest_hiddencost.study.results import ONEDNN_OFF, StudyResult
from tests.profiles import DEVICE, network
from tests.study.study_results import INSIDE, LATENCIES_MS, NAMES, OFF_MS, PARTS, several


def run_of_study(*results: StudyResult) -> RunFile:
    return RunFile(DEVICE, tuple(result.profile for result in results))


def test_another_run_has_no_figures() -> None:
    assert figures_of(RunFile(DEVICE, (network(),))) is None


def test_a_backend_has_the_papers_figures() -> None:
    figures = figures_of(run_of_study(*several(LATENCIES_MS)))
    assert figures is not None
    (backend,) = figures.backends
    assert set(backend.models) == set(NAMES)
    times = dict(zip(backend.models, backend.models_table["time"], strict=True))
    assert times == dict(zip(NAMES, LATENCIES_MS, strict=True))
    assert backend.models_table["accuracy"][0] == 72.93
    assert backend.models_table["MACs"][0] == pytest.approx(332.480512)
    time_of_first = LATENCIES_MS[0] / 10  # shares of a call of 10 ms
    shares = {name: 100 * (backend.parts[name][0] or 0) * time_of_first for name in PARTS}
    assert shares == pytest.approx(PARTS)
    inside = {name: 100 * (backend.inside_conv2d[name][0] or 0) for name in INSIDE}
    assert inside == pytest.approx(INSIDE)
    assert backend.rates["conv2d kxk"][0] == pytest.approx(12.0)
    assert backend.rates["linear"][0] is None


def test_correlations_are_those_of_the_table() -> None:
    both = [*several(LATENCIES_MS), *several(OFF_MS, ONEDNN_OFF)]
    figures = figures_of(run_of_study(*both))
    assert figures is not None
    assert figures.quantities == ("accuracy", "parameters", "MACs", "time", "time, oneDNN off")
    assert [figures.correlations[i][i] for i in range(5)] == pytest.approx([1.0] * 5)
    assert [backend.backend for backend in figures.backends] == ["default", ONEDNN_OFF]


def test_few_models_have_no_correlations() -> None:
    figures = figures_of(run_of_study(*several(LATENCIES_MS[:2])))
    assert figures is not None
    assert figures.correlations == ()


def test_two_devices_are_compared_model_by_model() -> None:
    head, base = several(LATENCIES_MS), several([2 * ms for ms in LATENCIES_MS[:4]])
    device = replace(DEVICE, model="Pi")
    figures = figures_of(run_of_study(*head), replace(run_of_study(*base), device=device))
    assert figures is not None
    (pair,) = figures.against
    assert set(pair.models) == set(NAMES[:4])
    assert pair.base_ms == pytest.approx([2 * ms for ms in pair.head_ms])
    assert pair.head_in_conv2d[0] == pytest.approx(0.4)
    assert pair.correlations is not None
    assert pair.correlations[0] == pytest.approx(pair.correlations[1])
    assert figures.names == ("Some Board, 2 threads, torch 2.13.0", "Pi, 2 threads, torch 2.13.0")
