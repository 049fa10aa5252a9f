"""The comparison of two devices: its tables; ``tests/cli`` has its errors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from scipy.stats import pearsonr

from pytest_hiddencost.core import units
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.study.compare import device_tables
from pytest_hiddencost.study.models import REFERENCE_MODELS, reference_model
from pytest_hiddencost.study.results import (
    BACKENDS,
    DEFAULT_BACKEND,
    ONEDNN_OFF,
    StudyResult,
    results_in,
)
from tests.profiles import DEVICE, MS, composite, network, read_table
from tests.study.study_results import (
    LATENCIES_MS,
    NAMES,
    OFF_MS,
    result,
    several,
    with_latency,
)


def run_of(results: Sequence[StudyResult]) -> RunFile:
    return RunFile(DEVICE, tuple(found.profile for found in results))


@pytest.fixture
def pair() -> tuple[RunFile, RunFile]:
    doubled = [with_latency(found, 2 * found.profile.latency.median_ns)
               for found in several(LATENCIES_MS)]  # fmt: skip
    conv2d = composite("aten::conv2d", 1, {"aten::mkldnn_convolution": (1, 1.0)})
    doubled[0] = with_latency(result("VGG16", conv2d=conv2d, non_mac_share=0.123), 60 * MS)
    first = run_of(several(LATENCIES_MS) + several(OFF_MS[:1], ONEDNN_OFF))
    return first, run_of(doubled)


def test_the_table_shows_two_devices_side_by_side(pair: tuple[RunFile, RunFile]) -> None:
    title, _, *lines = device_tables(*pair)
    assert title.startswith("default (")
    rows = read_table(lines[:-1])
    assert [row["model"] for row in rows] == [m.name for m in REFERENCE_MODELS if m.name in NAMES]
    assert rows[0] == {
        "model": "VGG16",
        "A p50 ms": "30",
        "B p50 ms": "60",
        "B/A": "2.00",
        "A non-MAC %": "70.0",
        "B non-MAC %": "12.3",
        "A in Conv2D %": "40.0",
        "B in Conv2D %": "0.0",
    }
    assert {row["B/A"] for row in rows} == {"2.00"}


def test_the_last_line_shows_the_correlation_of_macs_and_time_on_each_device(
    pair: tuple[RunFile, RunFile],
) -> None:
    macs_a = [float(reference_model(name).operator_macs) for name in NAMES]
    macs_b = [31_100_000.0, *macs_a[1:]]
    a, b = (pearsonr(macs, LATENCIES_MS).statistic for macs in (macs_a, macs_b))
    assert device_tables(*pair)[-1] == (
        f"Pearson correlation of MACs and time: A {a:.2f}, B {b:.2f}"
    )


@pytest.mark.parametrize(("models", "correlated"), [(2, False), (3, True)])
def test_a_correlation_needs_three_models(models: int, correlated: bool) -> None:
    run = run_of(several(LATENCIES_MS[:models]))
    assert ("Pearson" in device_tables(run, run)[-1]) is correlated


def test_each_backend_that_both_devices_have_gets_a_table() -> None:
    both = run_of(several(LATENCIES_MS[:1]) + several(OFF_MS[:1], ONEDNN_OFF))
    lines = device_tables(both, both)
    assert [sum(line.startswith(f"{b} (") for line in lines) for b in BACKENDS] == [1, 1]


def test_runs_with_nothing_in_common_have_no_table() -> None:
    a = run_of([result("VGG16")])
    b = run_of([result("VGG16", ONEDNN_OFF), result("ResNet50")])
    assert device_tables(a, b) == []
    assert device_tables(a, RunFile(DEVICE, (network(),))) == []


def test_every_figure_is_within_rounding_of_its_profile(pair: tuple[RunFile, RunFile]) -> None:
    rows = {row["model"]: row for row in read_table(device_tables(*pair)[2:-1])}
    for side, run in zip("AB", pair, strict=True):
        for found in results_in(run.profiles):
            if found.backend != DEFAULT_BACKEND:
                continue
            row, profile = rows[found.model.name], found.profile
            printed = units.parse(f"{row[f'{side} p50 ms']} ms", ["duration"], "table").value
            assert printed == pytest.approx(profile.latency.median_ns, rel=0.0051)
            assert float(row[f"{side} non-MAC %"]) == pytest.approx(
                100 * profile.non_mac_share, abs=0.051
            )
