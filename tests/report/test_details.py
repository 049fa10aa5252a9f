"""The details of ``-v`` and ``-vv``: every figure once, whatever the profiler cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_hiddencost.core.records import (
    CallSiteCost,
    DeviceFigures,
    DeviceHealth,
    MacKindCost,
)
from pytest_hiddencost.report.details import detail_lines
from tests.profiles import MS, composite, network, operator, profile_of, read_tables
from tests.report.printed import shown, summary, value

DETAILED = network(
    composites=[
        composite(
            "aten::conv2d",
            20,
            {"aten::mkldnn_convolution": (20, 6 * MS), "aten::_convolution": (20, 0.2 * MS)},
        ),
        composite("aten::cat", 12, {"aten::cat": (12, 1 * MS)}),
    ],
    mac_kinds=(
        MacKindCost("conv2d 3x3", 16, 24_000_000, 4 * MS),
        MacKindCost("conv2d 1x1", 4, 6_000_000, None),
    ),
)


def test_each_verbosity_adds_to_the_one_before() -> None:
    usual, more, most = (summary(DETAILED, verbosity=v).lines for v in (0, 1, 2))
    assert more[: len(usual)] == usual
    assert most[: len(more)] == more
    assert len(usual) < len(more) < len(most)
    assert summary(DETAILED, verbosity=3).lines == most


def test_v_shows_groups_and_mac_kinds() -> None:
    _, groups, kinds = read_tables(summary(DETAILED, verbosity=1).lines)
    assert [(row["group"], row["calls"]) for row in groups] == [
        ("mac", "20"), ("normalization", "20"), ("concatenation", "12"), ("data_movement", "14"),
        ("outside", ""), ("wrapper", "20"),
    ]  # fmt: skip
    assert [row["MAC kind"] for row in kinds] == ["conv2d 3x3", "conv2d 1x1"]
    assert kinds[0] == {
        "MAC kind": "conv2d 3x3",
        "calls": "16",
        "MACs": "24 MMAC",
        "kernel time": "4 ms",
        "MAC rate": "6 GMAC/s",
    }
    assert (kinds[1]["kernel time"], kinds[1]["MAC rate"]) == ("-", "-")


def test_groups_add_up_to_the_latency() -> None:
    _, groups, _ = read_tables(summary(DETAILED, verbosity=1).lines)
    stored = {**DETAILED.group_ns(), "outside": DETAILED.outside_ns}
    assert {row["group"]: value(row["time"], "duration") for row in groups} == {
        group: shown(self_ns) for group, self_ns in stored.items()
    }
    assert sum(value(row["share"], "share") for row in groups) == pytest.approx(1, abs=0.01)
    times = [value(row["time"], "duration") for row in groups]
    assert times == sorted(times, reverse=True)


def test_an_accelerator_that_waits_for_the_host_shows_it_among_the_groups() -> None:
    profile = replace(DETAILED, waiting_for_host_ns=0.3 * MS)
    _, groups, _ = read_tables(summary(profile, verbosity=1).lines)
    times = {row["group"]: value(row["time"], "duration") for row in groups}
    assert times["waiting for the host"] == shown(0.3 * MS)
    assert times["outside"] == shown(DETAILED.outside_ns - 0.3 * MS)
    assert sum(value(row["share"], "share") for row in groups) == pytest.approx(1, abs=0.01)


def test_a_group_without_measurable_time_is_listed_with_its_calls() -> None:
    operators = (*DETAILED.operators, replace(DETAILED.operators[0], name="aten::max_pool2d",
                 group="pooling", calls=3, self_ns=0.0, mac_share=0.0))  # fmt: skip
    _, groups, _ = read_tables(summary(replace(DETAILED, operators=operators), verbosity=1).lines)
    [row] = [row for row in groups if row["group"] == "pooling"]
    assert (row["calls"], value(row["time"], "duration")) == ("3", 0)


def test_without_macs_there_is_no_table_of_mac_kinds() -> None:
    assert len(read_tables(summary(network(), verbosity=1).lines)) == 2


def test_vv_shows_every_operator_and_the_inside_of_composites() -> None:
    lines = summary(DETAILED, verbosity=2).lines
    _, _, _, operators, inside = read_tables(lines)
    assert sum(value(row["share"], "share") for row in operators) == pytest.approx(1, abs=0.01)
    (outside,) = [row for row in operators if row["operator"] == "outside"]
    assert value(outside["time"], "duration") == shown(DETAILED.outside_ns)
    operators.remove(outside)
    for row, cost in zip(operators, DETAILED.operators, strict=True):
        assert (row["operator"], int(row["calls"])) == (cost.name, cost.calls)
        assert value(row["time"], "duration") == shown(cost.self_ns)
        assert value(row["share"], "share") == shown(cost.self_ns / 10e6)
    head = "inside aten::conv2d (20 calls)"
    assert [row[head] for row in inside] == ["aten::mkldnn_convolution", "aten::_convolution"]
    assert sum(value(row["share"], "share") for row in inside) == pytest.approx(1, abs=0.01)
    assert not any("inside aten::cat" in line for line in lines)


def test_a_composite_of_one_call_is_in_the_singular() -> None:
    one = composite("aten::add", 1, {"aten::add": (1, MS), "aten::copy_": (1, MS)})
    lines = summary(network(composites=[one]), verbosity=2).lines
    assert any(line.startswith("inside aten::add (1 call)  ") for line in lines)


def test_vv_leaves_no_operator_out() -> None:
    many = profile_of(*(operator(f"mylib::op{i}", 100_000 - i) for i in range(30)))
    _, _, operators = read_tables(summary(many, verbosity=2).lines)
    assert [row["operator"] for row in operators] == [
        "outside", *(f"mylib::op{i}" for i in range(30)),
    ]  # fmt: skip


def test_vv_shows_the_overhead_of_the_profiler() -> None:
    assert summary(DETAILED, verbosity=2).lines[-1] == (
        "profiler: 86 events in each of 12 windows; their cost, 400 ns each (calibrated: 350 ns), "
        "is subtracted; profiled calls took 25 % longer; 1.5 % of the latency is unexplained; "
        "600 timed calls"
    )


def test_details_come_per_profile_under_its_title() -> None:
    reporter = summary(network(label="a"), network(label="b"), verbosity=1)
    bold = [text for line in reporter.pieces for text, markup in line if markup.get("bold")]
    assert bold == ["test_models.py::test_it a", "test_models.py::test_it b"]


ROUGH = profile_of(
    operator("aten::mkldnn_convolution", 8 * MS, 20, macs=10**6),
    operator("aten::narrow", 0.5 * MS, 1000, uncertainty_ns=0.2 * MS, below_resolution=True),
    operator(
        "aten::slice",
        0.3 * MS,
        1000,
        uncertainty_ns=0.1 * MS,
        below_resolution=True,
        call_sites=(CallSiteCost("stem", "model.py:7", 1000, 0.3 * MS),),
    ),
)


def test_vv_marks_operators_below_resolution_and_bounds_their_sum() -> None:
    lines = summary(ROUGH, verbosity=2).lines
    table = read_tables(lines)[-1]
    assert {row["operator"]: row["time"] for row in table} == {
        "aten::mkldnn_convolution": "8 ms", "outside": "1.2 ms", "aten::narrow": "~500 us",
        "aten::slice": "~300 us",
    }  # fmt: skip
    (note,) = [line for line in lines if line.startswith("~ below resolution")]
    assert note.endswith("together 800 us +- 300 us")


def test_vv_shows_call_sites() -> None:
    assert "1000 x aten::slice from stem, model.py:7 (300 us)" in summary(ROUGH, verbosity=2).lines


def test_without_operators_below_resolution_there_is_no_such_line() -> None:
    lines = summary(DETAILED, verbosity=2).lines
    assert not [line for line in lines if "below resolution" in line or " from " in line]


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        (DeviceFigures(0.012, 0.2, 3.456),
         "load meanwhile: 1.2 % of the processor time stolen, 20 % of the time a task waited for a "
         "core, 3.46 involuntary switches per CPU second"),
        (DeviceFigures(None, 0.2, None),
         "load meanwhile: 20 % of the time a task waited for a core"),
    ],
)  # fmt: skip
def test_the_load_is_shown_as_far_as_it_is_known(figures: DeviceFigures, text: str) -> None:
    assert text in detail_lines(network(health=DeviceHealth(True, figures=figures)), 1)


@pytest.mark.parametrize("figures", [None, DeviceFigures(None, None, None)])
def test_an_unknown_load_has_no_line(figures: DeviceFigures | None) -> None:
    lines = detail_lines(network(health=DeviceHealth(True, figures=figures)), 2)
    assert not any("load meanwhile" in line for line in lines)


def test_blocks_are_separated_by_one_blank_line() -> None:
    text = "\n".join(detail_lines(DETAILED, 2))
    assert text == text.strip()
    assert "\n\n\n" not in text
