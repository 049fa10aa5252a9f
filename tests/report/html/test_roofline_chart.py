"""The roofline in the report: points below roofs, and a row for each operator."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_hiddencost.report.html.call_page import Detail, call_data
from pytest_hiddencost.report.html.page import report_page
from pytest_hiddencost.report.html.roofline_chart import roofline_of_call, roofline_of_device
from tests.profiles import network
from tests.report.html.reports import data_of, layered, run_of
from tests.report.test_replay_tables import BATTERY, CONV, PEAKS, RELU, replayed


def test_a_point_has_intensity_rate_share_and_bound() -> None:
    found = roofline_of_call(replayed(), 100)
    assert found is not None
    assert found["unit"] == "GMAC/s"
    conv, linear = found["points"]
    assert (conv["x"], conv["y"], conv["bound"]) == (25.0, 80.0, "compute")
    assert conv["share"] == pytest.approx(0.5, rel=0.01)
    assert conv["name"].startswith("4 x aten::mkldnn_convolution 1x64x56x56")
    assert (linear["x"], linear["bound"]) == (0.25, "memory")
    assert [row[-1] for row in found["rows"]] == ["compute", "memory", "kernel"]
    assert found["bounds"][0] == "compute: 84.7 % of the replayed time"


def test_roofs_meet_at_the_peak() -> None:
    found = roofline_of_call(replayed(), 100)
    assert found is not None
    memory, cache, flat = found["roofs"]
    assert (memory["x"][1], memory["y"][1]) == (10.0, 100.0)  # MAC/B, GMAC/s
    assert (cache["x"][1], cache["y"][1]) == (2.5, 100.0)
    assert memory["y"][0] / memory["x"][0] == pytest.approx(10.0)  # GB/s
    assert (flat["x"][0], flat["y"]) == (2.5, [100.0, 100.0])


def test_a_small_report_keeps_the_longest_replays_and_the_shares_of_all() -> None:
    found = roofline_of_call(replayed(), 1)
    assert found is not None
    assert len(found["rows"]) == 1
    assert "kernel: 6.78 %" in found["bounds"][3]


def test_a_call_without_replays_has_no_roofline() -> None:
    assert roofline_of_call(network(), 100) is None
    assert call_data(layered(), None, "", Detail())["roofline"] is None


def test_operators_without_macs_have_rows_and_no_points() -> None:
    found = roofline_of_call(network(replays=(RELU,), peaks=PEAKS), 100)
    assert found is not None
    assert found["points"] == []
    assert found["rows"][0][3] == "-"


def test_a_page_has_the_battery_and_the_replays_of_a_call() -> None:
    page = report_page(replace(run_of(replayed()), kinds=BATTERY))
    overview, (call,) = data_of(page)
    assert overview["kinds"] == roofline_of_device(BATTERY)
    assert overview["kinds"]["points"][0]["share"] is None
    assert call["roofline"]["points"][0]["y"] == 80.0
    assert 'href="#kinds"' in page
    assert 'href="#kinds"' not in report_page(run_of(replayed()))


def test_a_page_of_the_battery_alone_leads_to_it() -> None:
    page = report_page(replace(run_of(), kinds=BATTERY))
    assert "The run measured the device alone" in page
    assert "The run measured nothing" not in page


def test_names_of_a_users_operators_are_no_markup() -> None:
    hostile = replace(CONV, operator="<script>x</script>\u202e")
    found = roofline_of_call(network(replays=(hostile,), peaks=PEAKS), 100)
    assert found is not None
    assert "\u202e" not in found["points"][0]["name"]
