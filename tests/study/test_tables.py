"""The tables of the study: they print the figures of the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.records import MacKindCost
from pytest_hiddencost.study import tables
from pytest_hiddencost.study.models import reference_model
from pytest_hiddencost.study.results import INSIDE_NAMES, ONEDNN_OFF, StudyResult
from tests.profiles import MS, composite, patient, read_table
from tests.report.test_replay_tables import CONV, LINEAR, PEAKS, RELU
from tests.study.study_results import (
    CALLED,
    INSIDE,
    KINDS,
    LATENCIES_MS,
    NAMES,
    OFF_MS,
    PARTS,
    RAW_CONVOLUTION,
    result,
    several,
    with_latency,
)

# --- shares --------------------------------------------------------------------------------------


def test_the_table_of_parts_holds_percents() -> None:
    names = ["VGG16", "Xception"]
    title, _, *lines = tables.parts_table([result(name) for name in names])
    assert title == "Where the latency goes, default (% of p50)"
    rows = read_table(lines)
    assert [row.pop("model") for row in rows] == names
    for row in rows:
        assert {name: float(text) for name, text in row.items()} == pytest.approx(PARTS)


def test_the_table_of_conv2d_holds_percents_and_the_raw_share() -> None:
    title, _, *lines = tables.inside_table([result("VGG16", ONEDNN_OFF)])
    assert title.startswith("Inside Conv2D, oneDNN off (% of Conv2D")
    (row,) = read_table(lines)
    assert row.pop("model") == "VGG16"
    assert float(row.pop(tables.RAW)) == pytest.approx(RAW_CONVOLUTION, abs=0.05)
    assert {name: float(text) for name, text in row.items()} == pytest.approx(INSIDE)


@pytest.mark.parametrize("conv2d", [None, composite("aten::conv2d", 1, {"aten::view": (1, 0)})])
def test_a_model_without_time_in_conv2d_has_shares_of_0(conv2d: Any) -> None:
    found = result("VGG16", conv2d=conv2d)
    assert found.conv2d() == conv2d
    assert set(found.inside_conv2d_shares().values()) == {0.0}
    (row,) = read_table(tables.inside_table([found])[2:])
    assert {row[name] for name in INSIDE_NAMES} == {"0.0"}


times_ns = st.integers(0, 10**6)


@patient
@given(
    inside=st.dictionaries(
        st.sampled_from([*INSIDE, "aten::empty", "aten::slice", "aten::mkldnn_convolution"]),
        times_ns.map(lambda ns: (1, float(ns + 1))),
        min_size=1,
    ),
    called=st.dictionaries(st.sampled_from(list(CALLED)), times_ns.map(float)),
    outside_ns=times_ns,
)
def test_percents_add_up_to_100(
    inside: dict[str, tuple[int, float]], called: dict[str, float], outside_ns: int
) -> None:
    conv2d = composite("aten::conv2d", 1, inside)
    latency_ns = conv2d.total_ns + sum(called.values()) + outside_ns
    found = with_latency(
        result("VGG16", conv2d=conv2d, called=called, outside_ns=float(outside_ns)), latency_ns
    )
    for lines in (tables.parts_table([found]), tables.inside_table([found])):
        (row,) = read_table(lines[2:])
        del row["model"]
        row.pop(tables.RAW, None)
        total = sum(float(text) for text in row.values())
        assert total == pytest.approx(100, abs=0.05 * len(row) + 1e-9)  # each figure is rounded


# --- models and throughput -----------------------------------------------------------------------


def test_the_table_of_models_holds_counts_and_rates() -> None:
    found = result("MobileNet", parameters=3_315_428, thop_macs=48_098_304)
    title, _, *lines = tables.models_table([found, result("VGG16", parameters=None)])
    assert title == "Models, default"
    mobilenet, vgg = read_table(lines)
    assert mobilenet == {
        "model": "MobileNet",
        "params M": "3.32",
        "thop MMAC": "48.1",
        "MMAC": "31.1",
        "p50 ms": "10",
        "GMAC/s": "3.11",
        "non-MAC": "70 %",
    }
    assert (vgg["params M"], vgg["thop MMAC"]) == ("-", "-")


def test_units_of_the_table_of_models_are_fixed() -> None:
    slow = with_latency(result("VGG16", macs=7_500_000_000, mac_rate=2.5e7), 300_000 * MS)
    (row,) = read_table(tables.models_table([slow])[2:])
    assert (row["MMAC"], row["p50 ms"], row["GMAC/s"]) == ("7500", "300000", "0.025")


def test_the_table_of_throughput_holds_rates_and_their_spread() -> None:
    title, _, *lines = tables.throughput_table([result("VGG16")])
    assert title == "Throughput by kind, default (GMAC/s of kernel time)"
    (row,) = read_table(lines)
    assert row == {
        "model": "VGG16",
        "kxk": "12",
        "1x1": "6",
        "grouped": "-",
        "depthwise": "1",
        "linear": "-",
        "spread": "12.0 x",
    }


@pytest.mark.parametrize("kinds", [(), KINDS[:1], KINDS[-1:], KINDS[:2]])
def test_a_spread_needs_two_kinds(kinds: tuple[MacKindCost, ...]) -> None:
    (row,) = read_table(tables.throughput_table([result("VGG16", mac_kinds=kinds)])[2:])
    assert row["spread"] == "-"


# --- energy and replays --------------------------------------------------------------------------

WITH_ENERGY = (
    replace(KINDS[0], energy_nj_per_mac=0.5),
    replace(KINDS[1], energy_nj_per_mac=0.7),
    replace(KINDS[3], energy_nj_per_mac=3.0),
)
NO_METER = EnergyUnknown("no energy meter found: no counters", "mount them")


def test_the_table_of_energy_holds_that_of_a_mac_in_the_models_own_mix() -> None:
    title, _, *lines = tables.energy_table([result("VGG16", mac_kinds=WITH_ENERGY)])
    assert title == "Energy by kind, default (nJ/MAC)"
    (row,) = read_table(lines)
    assert row == {
        "model": "VGG16",
        "kxk": "0.6",
        "1x1": "-",
        "grouped": "-",
        "depthwise": "3",
        "linear": "-",
        "spread": "5.0 x",
    }


def test_without_a_meter_the_reason_stands_in_the_tables_place() -> None:
    _, _, line = tables.energy_table([result("VGG16", energy_unknown=NO_METER)])
    assert line == "no energy meter found: no counters"
    _, _, line = tables.energy_table([result("VGG16")])
    assert line == "no operator was replayed; add --hiddencost-kinds"


def test_the_table_of_replays_holds_their_sum_against_the_call() -> None:
    title, _, *lines = tables.replays_table(
        [result("VGG16", replays=(CONV, LINEAR, RELU), peaks=PEAKS)]
    )
    assert title == "Replays, default (bounds: % of the replayed time)"
    assert read_table(lines) == [
        {"model": "VGG16", "replays ms": "5.9", "p50 ms": "10", "% of p50": "59.0",
         "compute": "84.7", "memory": "8.5", "overhead": "0.0", "kernel": "6.8"},
    ]  # fmt: skip


# --- correlations --------------------------------------------------------------------------------


def test_correlations_are_those_of_pearson() -> None:
    title, _, *lines = tables.correlation_table(
        several(LATENCIES_MS) + list(reversed(several(OFF_MS, ONEDNN_OFF)))
    )
    assert title == "Pearson correlation over 5 models (accuracy as published)"
    models = [reference_model(name) for name in NAMES]
    columns: dict[str, list[float]] = {
        "accuracy": [model.top1_percent for model in models],
        "parameters": [float(model.parameters) for model in models],
        "MACs": [float(model.operator_macs) for model in models],
        "time": LATENCIES_MS,
        "time, oneDNN off": OFF_MS,
    }
    rows = read_table(lines)
    assert [row.pop("") for row in rows] == list(columns)
    for (_, one), row in zip(columns.items(), rows, strict=True):
        assert {name: float(text) for name, text in row.items()} == pytest.approx(
            {name: pearsonr(one, other).statistic for name, other in columns.items()}, abs=0.005
        )


def test_one_backend_has_one_column_of_times() -> None:
    rows = read_table(tables.correlation_table(several(LATENCIES_MS, ONEDNN_OFF))[2:])
    assert [row[""] for row in rows] == ["accuracy", "parameters", "MACs", "time, oneDNN off"]


def test_only_models_measured_on_every_backend_are_correlated() -> None:
    found = several(LATENCIES_MS) + several(OFF_MS[:3], ONEDNN_OFF)
    title, _, *lines = tables.correlation_table(found)
    assert "over 3 models" in title
    by_name = {row[""]: row for row in read_table(lines)}
    expected = pearsonr(LATENCIES_MS[:3], OFF_MS[:3]).statistic
    assert float(by_name["time"]["time, oneDNN off"]) == pytest.approx(expected, abs=0.005)


def test_fewer_than_three_models_have_no_correlation() -> None:
    found = several(LATENCIES_MS) + several(OFF_MS[:2], ONEDNN_OFF)
    (line,) = tables.correlation_table(found)
    assert line == "Pearson correlation: fewer than three models were measured on every backend"


# --- all tables ----------------------------------------------------------------------------------


def titles(results: Sequence[StudyResult]) -> list[str]:
    return [lines[0].partition(" (")[0] for lines in tables.all_tables(results)]


def test_each_backend_has_four_tables_and_all_share_one_of_correlations() -> None:
    assert titles(several(LATENCIES_MS) + several(OFF_MS, ONEDNN_OFF)) == [
        "Models, default", "Where the latency goes, default", "Inside Conv2D, default",
        "Throughput by kind, default",
        "Models, oneDNN off", "Where the latency goes, oneDNN off", "Inside Conv2D, oneDNN off",
        "Throughput by kind, oneDNN off",
        "Pearson correlation over 5 models",
    ]  # fmt: skip


def test_two_models_have_no_table_of_correlations() -> None:
    assert [title.partition(",")[0] for title in titles(several(LATENCIES_MS[:2]))] == [
        "Models", "Where the latency goes", "Inside Conv2D", "Throughput by kind",
    ]  # fmt: skip


def test_a_run_with_energy_and_replays_has_two_tables_more() -> None:
    found = result("VGG16", energy_unknown=NO_METER, replays=(CONV,), peaks=PEAKS)
    assert titles([found]) == [
        "Models, default", "Where the latency goes, default", "Inside Conv2D, default",
        "Throughput by kind, default", "Energy by kind, default", "Replays, default",
    ]  # fmt: skip


def test_without_results_there_are_no_tables() -> None:
    assert list(tables.all_tables([])) == []
