"""The icicle: parents are the sum of their children, and the root is the latency."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from pytest_hiddencost.core.records import CallSiteCost, Profile
from pytest_hiddencost.report.html.icicle import PER_NS, icicle
from tests.profiles import MS, any_profiles, composite, network, operator, patient, profile_of
from tests.report.html.reports import LAYERS, layered


def paths(tree: dict[str, Any]) -> dict[str, int]:
    """The value of every node by its path."""
    found: list[str] = []
    for name, parent in zip(tree["labels"], tree["parents"], strict=True):
        found.append(name if parent < 0 else f"{found[parent]} > {name}")
    return dict(zip(found, tree["values"], strict=True))


def assert_adds_up(tree: dict[str, Any]) -> None:
    sums = [0] * len(tree["values"])
    for position, parent in enumerate(tree["parents"]):
        assert parent < position, "parents come first"
        if parent >= 0:
            sums[parent] += tree["values"][position]
    for value, total in zip(tree["values"], sums, strict=True):
        assert value >= 0
        assert total in (0, value)


def picoseconds(ns: float) -> object:
    return pytest.approx(ns * PER_NS, rel=1e-6)


@settings(patient, max_examples=20)
@given(any_profiles())
def test_a_parent_is_the_sum_of_its_children_whatever_was_measured(profile: Profile) -> None:
    tree = icicle(profile)
    assert_adds_up(tree)
    latency_ns = min(1e15, max(0.0, profile.latency.median_ns))
    if latency_ns > 1e3:
        assert tree["values"][0] == pytest.approx(latency_ns * PER_NS, rel=1e-3)


def test_module_composite_operator_line() -> None:
    tree = icicle(layered())
    found = paths(tree)
    kernel = "MobileNet > features > 3 > conv > aten::conv2d > aten::mkldnn_convolution"
    assert found[kernel] == picoseconds(6 * MS / LAYERS)
    where = dict(zip(found, tree["where"], strict=True))
    assert where[kernel] == "net.py:13"  # an only line needs no level
    assert found["MobileNet"] == picoseconds(10 * MS)
    assert_adds_up(tree)


def test_calls_without_a_call_site_have_a_part_of_their_own() -> None:
    found = paths(icicle(layered()))
    assert found["MobileNet > aten::cat"] == picoseconds(0.6 * MS)  # outside any module
    assert found["MobileNet > call site not known > aten::cat"] == picoseconds(0.2 * MS)


def test_unknown_calls_are_placed_by_their_composite() -> None:
    inside = {"aten::copy_": (20, 1 * MS), "aten::mkldnn_convolution": (20, 5 * MS)}
    profile = profile_of(
        operator("aten::mkldnn_convolution", 5 * MS, 20),
        operator("aten::copy_", 3 * MS, 60),
        composites=[
            composite("aten::conv2d", 20, inside),
            composite("aten::copy_", 40, {"aten::copy_": (40, 2 * MS)}),
        ],
    )
    found = paths(icicle(profile))
    unknown = "MobileNet > call site not known"
    assert found[f"{unknown} > aten::conv2d > aten::copy_"] == picoseconds(1 * MS)
    assert found[f"{unknown} > aten::copy_"] == picoseconds(2 * MS)


def test_an_older_file_names_no_composite() -> None:
    site = CallSiteCost("block.0", "net.py:5", 4, 1.0 * MS)
    profile = profile_of(operator("aten::cat", 2 * MS, 8, call_sites=[site]))
    found = paths(icicle(profile))
    assert found["MobileNet > block.0 > aten::cat"] == picoseconds(1 * MS)
    assert found["MobileNet > call site not known > aten::cat"] == picoseconds(1 * MS)


def test_several_lines_of_one_operator_are_a_level() -> None:
    lines = [CallSiteCost("block", f"net.py:{n}", 1, 1.0 * MS, "aten::cat") for n in (5, 6)]
    tree = icicle(profile_of(operator("aten::cat", 2 * MS, 2, call_sites=lines)))
    found = paths(tree)
    assert found["MobileNet > block > aten::cat > net.py:5"] == picoseconds(1 * MS)
    kinds = dict(zip(found, tree["kinds"], strict=True))
    assert kinds["MobileNet > block > aten::cat > net.py:6"] == "line"


def test_outside_and_unexplained_are_nodes() -> None:
    profile = replace(network(), outside_ns=0.1 * MS)
    found = paths(icicle(profile))
    assert found["MobileNet > outside operators"] == picoseconds(0.1 * MS)
    assert found["MobileNet > unexplained"] == picoseconds(0.3 * MS)


def test_parts_that_sum_to_more_than_the_latency_are_scaled_and_it_says_so() -> None:
    profile = replace(network(), outside_ns=1.4 * MS)
    tree = icicle(profile)
    assert paths(tree)["MobileNet"] == picoseconds(10 * MS)
    assert_adds_up(tree)
    assert tree["note"] == (
        "The parts sum to 110 % of the median latency; widths are scaled to fit."
    )
    assert icicle(network())["note"] == ""
    assert "6 ms, 60 %, 20 calls" in tree["texts"]  # figures are as measured


def test_the_share_in_mac_kernels_is_that_of_everything_inside() -> None:
    tree = icicle(layered())
    share = dict(zip(tree["labels"], tree["mac"], strict=True))
    assert share["aten::mkldnn_convolution"] == 1.0
    assert share["aten::native_batch_norm"] == 0.0
    assert share["MobileNet"] == pytest.approx(0.6, abs=1e-3)
    assert share["aten::conv2d"] == pytest.approx(6 / 6.3, abs=1e-3)


def test_small_parts_are_put_together() -> None:
    tiny = [operator(f"aten::op{i}", 100, 1) for i in range(40)]
    tree = icicle(profile_of(operator("aten::cat", 9 * MS, 1), *tiny))
    assert "40 smaller" in tree["labels"]
    assert_adds_up(tree)


@pytest.mark.parametrize("most", [40, 80, 200])
def test_a_tree_has_no_more_nodes_than_asked_for(most: int) -> None:
    modules = [CallSiteCost(f"b{i}.c{i % 7}", f"n.py:{i}", 1, 9000.0 + i) for i in range(500)]
    tree = icicle(profile_of(operator("aten::cat", 9 * MS, 500, call_sites=modules)), most)
    assert len(tree["labels"]) <= most
    assert_adds_up(tree)


@pytest.mark.parametrize("most", [1, 2, 3, 5, 10, 20])
def test_no_time_is_lost_if_parts_are_put_together_again(most: int) -> None:
    """Each round puts larger parts together, beside those of the rounds before."""
    modules = [CallSiteCost(f"b{i % 9}.c{i}", f"n.py:{i}", 1, 1000.0 * 1.2**i) for i in range(45)]
    total_ns = round(sum(site.self_ns for site in modules))
    tree = icicle(
        profile_of(
            operator("aten::cat", total_ns, 45, call_sites=modules), samples_ns=[total_ns] * 20
        ),
        most,
    )
    assert tree["values"][0] == picoseconds(total_ns)
    assert_adds_up(tree)


def test_call_sites_never_take_more_than_their_operator() -> None:
    site = CallSiteCost("block", "net.py:5", 8, 9.0 * MS, "aten::cat")
    tree = icicle(profile_of(operator("aten::cat", 2 * MS, 8, call_sites=[site])))
    assert paths(tree)["MobileNet > block > aten::cat"] == picoseconds(2 * MS)
