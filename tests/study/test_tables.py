"""The study's tables and the comparison of two devices: what is printed is what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import Device, MacKindCost, Profile
from pytest_hiddencost.report import run_file as runfile
from pytest_hiddencost.study import compare, tables
from pytest_hiddencost.study.models import REFERENCE_MODELS, reference_model
from pytest_hiddencost.study.results import (
    BACKENDS,
    DEFAULT_BACKEND,
    INSIDE_NAMES,
    ONEDNN_OFF,
    PART_NAMES,
    Result,
    coarse_kind,
    label_of,
    results_in,
)
from tests.profiles import DEVICE, MS, composite, network, operator, patient, profile_of, read_table

# 10 ms, by what Python called: half in conv2d, of which 3 ms are the convolution proper.
CONV2D = composite(
    "aten::conv2d",
    20,
    {
        "aten::mkldnn_convolution": (20, 3 * MS),
        "aten::_convolution": (20, 0.5 * MS),
        "aten::slice": (40, 0.25 * MS),
        "aten::as_strided": (40, 0.25 * MS),
        "aten::narrow": (40, 0.5 * MS),
        "aten::empty": (20, 0.2 * MS),
        "aten::view": (20, 0.1 * MS),
        "aten::copy_": (20, 0.15 * MS),
        "aten::cat": (20, 0.05 * MS),
    },
)
RAW_CONVOLUTION = 100 * 3.008 / 5.096  # each call 400 ns longer
CALLED = {
    "aten::batch_norm": 1.5 * MS,
    "aten::relu_": 0.3 * MS,
    "aten::hardtanh_": 0.2 * MS,
    "aten::cat": 0.6 * MS,
    "aten::add_": 0.1 * MS,
    "aten::add": 0.1 * MS,
    "aten::linear": 0.4 * MS,
    "aten::max_pool2d": 0.1 * MS,
    "aten::adaptive_avg_pool2d": 0.2 * MS,
    "aten::sigmoid": 0.7 * MS,
    "aten::flatten": 0.3 * MS,
}
PARTS = {
    "Conv2D": 50.0, "BatchNorm": 15.0, "ReLU": 5.0, "Concat": 6.0, "Add": 2.0, "Linear": 4.0,
    "Pooling": 3.0, "other": 10.0, "outside": 5.0,
}  # fmt: skip
INSIDE = {
    "convolution": 60.0, "slice": 10.0, "narrow": 10.0, "empty": 4.0, "view": 2.0, "copy": 3.0,
    "cat": 1.0, "other": 10.0,
}  # fmt: skip
KINDS = (
    MacKindCost("conv2d 3x3", 5, 12_000_000, 1.5 * MS),
    MacKindCost("conv2d 5x5", 2, 12_000_000, 0.5 * MS),
    MacKindCost("conv2d 1x1", 9, 6_000_000, 1 * MS),
    MacKindCost("conv2d depthwise", 3, 1_000_000, 1 * MS),
    MacKindCost("linear", 1, 100_000, None),
)


def study_profile(
    conv2d: Any = CONV2D, called: Mapping[str, float] = CALLED, **changes: Any
) -> Profile:
    composites = [] if conv2d is None else [conv2d]
    composites += [composite(name, 1, {name: (1, ns)}) for name, ns in called.items()]
    return profile_of(
        operator("aten::mkldnn_convolution", 3 * MS, 20, macs=31_100_000),
        composites=composites,
        **{"outside_ns": 0.5 * MS, "mac_kinds": KINDS, **changes},
    )


def result(name: str, backend: str = DEFAULT_BACKEND, **changes: Any) -> Result:
    model = reference_model(name)
    label = label_of(model, backend)
    return Result(model, backend, study_profile(label=label, **changes))


def with_latency(found: Result, latency_ns: float) -> Result:
    latency = replace(found.profile.latency, median_ns=latency_ns)
    return replace(found, profile=replace(found.profile, latency=latency))


def number(text: str) -> float:
    return float(text.removesuffix(" x"))


# --- which profiles are results ----------------------------------------------------------------


def test_every_model_on_every_backend_is_recognised_by_its_label() -> None:
    profiles = [
        network(label=label_of(model, backend))
        for model in REFERENCE_MODELS
        for backend in BACKENDS
    ]
    results = results_in([*reversed(profiles), network(label="b1"), network()])
    assert [(r.model.name, r.backend) for r in results] == [
        (model.name, backend) for backend in BACKENDS for model in REFERENCE_MODELS
    ]
    assert all(r.profile.label == label_of(r.model, r.backend) for r in results)


def test_profiles_of_other_tests_are_no_results() -> None:
    assert results_in([network(), network(label="VGG16"), network(label="VGG, default")]) == []


# --- where the latency goes --------------------------------------------------------------------


def test_parts_of_a_model() -> None:
    shares = result("VGG16").part_shares()
    assert list(shares) == list(PART_NAMES)
    assert {name: 100 * share for name, share in shares.items()} == pytest.approx(PARTS)


def test_parts_are_printed_in_percent_and_add_up() -> None:
    names = ["VGG16", "Xception"]
    title, _, *lines = tables.parts_table([result(name) for name in names])
    assert title == "Where the latency goes, default (% of p50)"
    rows = read_table(lines)
    assert [row.pop("model") for row in rows] == names
    for row in rows:
        assert {name: float(text) for name, text in row.items()} == pytest.approx(PARTS)


def test_inside_conv2d() -> None:
    shares = result("VGG16").inside_conv2d_shares()
    assert list(shares) == list(INSIDE_NAMES)
    assert {name: 100 * share for name, share in shares.items()} == pytest.approx(INSIDE)
    title, _, *lines = tables.inside_table([result("VGG16", ONEDNN_OFF)])
    assert title.startswith("Inside Conv2D, oneDNN off (% of Conv2D")
    (row,) = read_table(lines)
    assert row.pop("model") == "VGG16"
    assert float(row.pop(tables.RAW)) == pytest.approx(RAW_CONVOLUTION, abs=0.05)
    assert {name: float(text) for name, text in row.items()} == pytest.approx(INSIDE)


@pytest.mark.parametrize("kernel", ["aten::_slow_conv2d_forward", "aten::cudnn_convolution"])
def test_the_convolution_proper_is_whatever_kernel_the_backend_has(kernel: str) -> None:
    conv2d = composite("aten::conv2d", 1, {kernel: (1, 4 * MS), "aten::_convolution": (1, MS)})
    shares = result("VGG16", conv2d=conv2d).inside_conv2d_shares()
    assert (shares["convolution"], shares["other"]) == (0.8, 0.2)


@pytest.mark.parametrize("conv2d", [None, composite("aten::conv2d", 1, {"aten::view": (1, 0)})])
def test_a_model_without_time_in_conv2d_has_nothing_inside(conv2d: Any) -> None:
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
def test_percentages_add_up_to_all_of_it(
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
        assert total == pytest.approx(100, abs=0.05 * len(row) + 1e-9)  # each is rounded


# --- the models, and their throughput ----------------------------------------------------------


def test_the_models_table() -> None:
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


def test_units_of_the_models_table_do_not_change_with_the_figures() -> None:
    slow = with_latency(result("VGG16", macs=7_500_000_000, mac_rate=2.5e7), 300_000 * MS)
    (row,) = read_table(tables.models_table([slow])[2:])
    assert (row["MMAC"], row["p50 ms"], row["GMAC/s"]) == ("7500", "300000", "0.025")


def test_throughput_is_per_second_of_kernel_time() -> None:
    rates = result("VGG16").kind_rates()
    assert rates == pytest.approx({
        "conv2d kxk": 24_000_000 / 2e-3, "conv2d 1x1": 6e9, "conv2d depthwise": 1e9,
    })  # fmt: skip
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
def test_a_spread_takes_two_kinds(kinds: tuple[MacKindCost, ...]) -> None:
    (row,) = read_table(tables.throughput_table([result("VGG16", mac_kinds=kinds)])[2:])
    assert row["spread"] == "-"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("conv2d 3x3", "conv2d kxk"), ("conv2d 1x7", "conv2d kxk"), ("conv2d 11x11", "conv2d kxk"),
        ("conv2d 1x1", "conv2d 1x1"), ("conv2d depthwise", "conv2d depthwise"),
        ("conv2d grouped", "conv2d grouped"), ("linear", "linear"), ("matmul", "matmul"),
    ],
)  # fmt: skip
def test_dense_kernels_are_taken_together(kind: str, expected: str) -> None:
    assert coarse_kind(kind) == expected


# --- correlation -------------------------------------------------------------------------------

NAMES = ["VGG16", "ResNet50", "MobileNet", "ShuffleNet", "Xception"]
LATENCIES_MS = [30.0, 80.0, 12.0, 25.0, 101.0]
OFF_MS = [35.0, 70.0, 44.0, 90.0, 120.0]


def several(latencies_ms: Sequence[float], backend: str = DEFAULT_BACKEND) -> list[Result]:
    return [
        with_latency(
            result(name, backend, macs=reference_model(name).operator_macs,
                   parameters=reference_model(name).parameters), ms * MS,
        )
        for name, ms in zip(NAMES, latencies_ms, strict=False)
    ]  # fmt: skip


def test_correlations_are_pearsons() -> None:
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


# --- which tables there are --------------------------------------------------------------------


def titles(results: Sequence[Result]) -> list[str]:
    return [lines[0].partition(" (")[0] for lines in tables.all_tables(results)]


def test_each_backend_has_its_four_tables_and_all_have_one_correlation() -> None:
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


def test_without_results_there_are_no_tables() -> None:
    assert list(tables.all_tables([])) == []


# --- two devices -------------------------------------------------------------------------------

OTHER = replace(DEVICE, model="Other Board", threads=4, torch="2.4.0")


def run_file(path: Path, results: Sequence[Result], device: Device = DEVICE) -> Path:
    runfile.write(path, [found.profile for found in results], device, path.parent)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    doubled = [with_latency(found, 2 * found.profile.latency.median_ns)
               for found in several(LATENCIES_MS)]  # fmt: skip
    conv2d = composite("aten::conv2d", 1, {"aten::mkldnn_convolution": (1, 1.0)})
    doubled[0] = with_latency(result("VGG16", conv2d=conv2d, non_mac_share=0.123), 60 * MS)
    a = run_file(tmp_path / "a.json", several(LATENCIES_MS) + several(OFF_MS[:1], ONEDNN_OFF))
    return [str(a), str(run_file(tmp_path / "b.json", doubled, OTHER))]


def test_two_devices_side_by_side(pair: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(pair) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, second, blank, title, _, *lines = out.splitlines()
    assert first == "A: Some Board, 2 threads, torch 2.13.0"
    assert second == "B: Other Board, 4 threads, torch 2.4.0"
    assert blank == ""
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


def test_how_well_macs_tell_the_time_on_each(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main(pair)
    last = capsys.readouterr().out.splitlines()[-1]
    macs_a = [float(reference_model(name).operator_macs) for name in NAMES]
    macs_b = [31_100_000.0, *macs_a[1:]]
    a, b = (pearsonr(macs, LATENCIES_MS).statistic for macs in (macs_a, macs_b))
    assert last == f"Pearson correlation of MACs and time: A {a:.2f}, B {b:.2f}"


@pytest.mark.parametrize(("models", "correlated"), [(2, False), (3, True)])
def test_a_correlation_takes_three_models(
    models: int, correlated: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(run_file(tmp_path / "a.json", several(LATENCIES_MS[:models])))
    assert compare.main([path, path]) == 0
    assert ("Pearson" in capsys.readouterr().out) is correlated


def test_each_backend_measured_on_both_has_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = several(LATENCIES_MS[:1]) + several(OFF_MS[:1], ONEDNN_OFF)
    path = str(run_file(tmp_path / "a.json", both))
    assert compare.main([path, path]) == 0
    out = capsys.readouterr().out
    assert [out.count(f"\n{backend} (") for backend in BACKENDS] == [1, 1]


def complaint(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert compare.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read as a run file"),
        ("not JSON", "cannot be read as a run file"),
        ("[]", "not a run file"),
        ('{"format": 2, "profiles": []}', "format 2, this version reads format 1"),
        ('{"format": 1, "profiles": []}', "device"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    pair: list[str],
    bad: int,
    content: str | None,
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    pair[bad] = str(path)
    message = complaint(pair, capsys)
    assert f"{path}: " in message
    assert problem in message


def test_a_run_without_the_study_is_named(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    runfile.write(path, [network(label="b1")], DEVICE, tmp_path)
    message = complaint([pair[0], str(path)], capsys)
    assert message == f"error: {path}: holds no profile of the device study\n"


def test_runs_with_nothing_in_common_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run_file(tmp_path / "a.json", [result("VGG16")])
    b = run_file(tmp_path / "b.json", [result("VGG16", ONEDNN_OFF), result("ResNet50")])
    message = complaint([str(a), str(b)], capsys)
    assert message == f"error: {a} and {b} have no model and backend in common\n"


def test_a_broken_profile_is_named_by_its_key(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(Path(pair[0]).read_text(encoding="utf-8"))
    del document["profiles"][0]["latency"]["median_ns"]
    Path(pair[0]).write_text(json.dumps(document), encoding="utf-8")
    assert "LatencySamples lacks the key 'median_ns'" in complaint(pair, capsys)


@pytest.mark.parametrize("arguments", [[], ["a.json"], ["a.json", "b.json", "c.json"]])
def test_it_takes_two_files(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        compare.main(arguments)
    assert exit_.value.code == 2
    assert "usage: python -m pytest_hiddencost.study.compare" in capsys.readouterr().err


def test_as_a_program_it_ends_with_its_exit_code(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "pytest_hiddencost.study.compare", "missing.json", "b.json"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: missing.json: cannot be read as a run file")


def test_every_column_is_within_rounding_of_what_was_measured(pair: list[str]) -> None:
    a, b = (results_in(runfile.read(Path(path))[1]) for path in pair)
    lines = compare.compare(Path(pair[0]), Path(pair[1]))
    rows = {row["model"]: row for row in read_table(lines[5:-1])}
    for side, results in (("A", a), ("B", b)):
        for found in (r for r in results if r.backend == DEFAULT_BACKEND):
            row, profile = rows[found.model.name], found.profile
            printed = units.parse(f"{row[f'{side} p50 ms']} ms", ["duration"], "table").value
            assert printed == pytest.approx(profile.latency.median_ns, rel=0.0051)
            assert number(row[f"{side} non-MAC %"]) == pytest.approx(
                100 * profile.non_mac_share, abs=0.051
            )
