"""The battery: MACs and bytes of every entry, against formulas by hand."""

from __future__ import annotations

import math

import pytest
import torch

from pytest_hiddencost.core.operator_rates import OperatorWork
from pytest_hiddencost.measure.kinds import peaks
from pytest_hiddencost.measure.kinds.battery import BatteryEntry, battery

CPU = torch.device("cpu")
FLOAT = 4  # bytes


Found = list[tuple[BatteryEntry, OperatorWork]]


@pytest.fixture(scope="module")
def found() -> Found:
    with torch.inference_mode():
        return [(entry, entry.work()) for entry in battery()]


def named(found: Found, name: str) -> Found:
    chosen = [(entry, work) for entry, work in found if entry.name == name]
    assert chosen
    return chosen


def test_convolutions_have_the_macs_and_bytes_of_their_shapes(found: Found) -> None:
    for entry, work in named(found, "conv2d"):
        (_, inside, side, _), (outside, per_group, kernel, _) = entry.shapes
        weights = outside * per_group * kernel**2
        assert work.macs == weights * side**2
        assert work.moved_bytes == FLOAT * ((inside + outside) * side**2 + weights)


def test_linear_layers_have_the_macs_and_bytes_of_their_shapes(found: Found) -> None:
    for entry, work in named(found, "linear"):
        (rows, inside), (outside, _), _ = entry.shapes
        assert work.macs == rows * inside * outside
        values = rows * inside + inside * outside + outside + rows * outside
        assert work.moved_bytes == FLOAT * values


def test_products_have_the_macs_and_bytes_of_their_shapes(found: Found) -> None:
    for entry, work in named(found, "matmul"):
        *batch, size, _ = entry.shapes[0]
        assert work.macs == math.prod(batch) * size**3
        assert work.moved_bytes == 3 * FLOAT * math.prod(batch) * size**2


def test_attention_has_the_macs_and_bytes_of_its_shapes(found: Found) -> None:
    for entry, work in named(found, "scaled_dot_product_attention"):
        _, heads, length, features = entry.shapes[0]
        assert work.macs == 2 * heads * length**2 * features
        assert work.moved_bytes == 4 * FLOAT * heads * length * features


def test_an_lstm_has_the_macs_and_bytes_of_its_shapes(found: Found) -> None:
    for entry, work in named(found, "lstm"):
        _, steps, width = entry.shapes[0]
        assert work.macs == steps * 2 * 4 * width**2
        values = 2 * steps * width + 2 * width + 8 * width**2 + 8 * width
        assert work.moved_bytes == FLOAT * values


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [("clone", 1, 1), ("cat", 2, 2), ("add", 2, 1), ("layer_norm", 1, 1), ("relu", 1, 1),
     ("gelu", 1, 1)],
)  # fmt: skip
def test_operators_without_macs_have_the_bytes_of_their_shapes(
    found: Found, name: str, inputs: int, outputs: int
) -> None:
    for entry, work in named(found, name):
        assert work.macs == 0
        assert work.moved_bytes == FLOAT * (inputs + outputs) * math.prod(entry.shapes[0])


def test_the_battery_has_every_kind_and_several_sizes_of_each(found: Found) -> None:
    kinds = [work.kind for _, work in found]
    for kind in (
        "conv2d 3x3", "conv2d 1x1", "conv2d depthwise", "conv2d grouped", "linear", "matmul",
        "attention", "rnn", "data_movement", "concatenation", "elementwise", "normalization",
        "activation",
    ):  # fmt: skip
        assert kinds.count(kind) >= 2, kind
    assert len({(work.operator, work.shapes) for _, work in found}) == len(found)


def test_a_cold_entry_takes_more_memory_than_caches_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "COLD_BYTES", 1_000_000)
    monkeypatch.setattr(peaks, "last_level_cache_bytes", lambda: 0)
    warm = BatteryEntry("relu", torch.relu, ((1, 1000),))
    cold = BatteryEntry("relu", torch.relu, ((1, 1000),), cold=True)
    assert len(warm.runs(CPU)) == 1
    runs = cold.runs(CPU)
    assert len(runs) * 1000 * FLOAT >= 1_000_000
    assert len({run.args[0].data_ptr() for run in runs}) == len(runs)  # type: ignore[attr-defined]


def test_every_entry_runs(found: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "COLD_BYTES", 1)
    monkeypatch.setattr(peaks, "last_level_cache_bytes", lambda: 0)
    with torch.inference_mode():
        for entry in (entry for entry, work in found if work.moved_bytes < 10_000_000):
            assert isinstance(entry.runs(CPU)[0](), torch.Tensor)
