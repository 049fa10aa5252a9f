"""A call against its base: the steps of a waterfall lead from one latency to the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import regression
from pytest_hiddencost.core.records import Comparison, Verdict
from pytest_hiddencost.report.html.changes import (
    MOST_STEPS,
    OTHERS,
    changes,
    growth_over,
    module_times,
    operator_times,
    waterfall,
)
from tests.profiles import MS, network, operator, patient, profile_of
from tests.report.html.reports import CHANGES, LAYERS, layered

times = st.dictionaries(st.text(max_size=3), st.floats(0, 1e9), max_size=30)


@settings(patient, max_examples=30)
@given(st.floats(1e3, 1e12), st.floats(1e3, 1e12), times, times)
def test_the_steps_lead_from_base_to_head(
    base_ns: float, head_ns: float, base: dict[str, float], head: dict[str, float]
) -> None:
    found = waterfall("by operator", (base_ns, head_ns), base, head)
    reached = found["base"] + sum(found["steps"])
    assert reached == pytest.approx(found["head"], rel=1e-9, abs=1e-9 * found["base"])
    assert len(found["steps"]) == len(found["names"]) == len(found["texts"]) <= MOST_STEPS + 1


def test_growth_stands_first_and_what_no_step_explains_is_named() -> None:
    found = waterfall(
        "x", (10 * MS, 12 * MS), {"a": 1 * MS, "b": 3 * MS}, {"a": 4 * MS, "b": 1 * MS}
    )
    assert found["names"] == ["a", "b", OTHERS]
    assert found["steps"] == [3.0, -2.0, 1.0]
    assert found["texts"] == ["+3 ms", "-2 ms", "+1 ms"]
    assert (found["unit"], found["base_text"], found["head_text"]) == ("ms", "10 ms", "12 ms")


def test_the_times_by_operator_and_by_module_sum_to_the_latency() -> None:
    profile = layered(outside_ns=0.5 * MS)
    for found in (operator_times(profile), module_times(profile)):
        assert sum(found.values()) == pytest.approx(profile.latency.median_ns)
    assert module_times(profile)["features.2.norm"] == pytest.approx(2 * MS / LAYERS)
    assert module_times(profile)["net.py:77"] == pytest.approx(0.6 * MS)


def test_another_run_gives_growth_interval_waterfalls_and_differences() -> None:
    base = layered()
    more = operator("aten::clone", 1 * MS, 5)
    head = profile_of(*base.operators, more, latency_ns=11 * MS, composites=base.composites)
    (found,) = changes(head, base, "main.json")
    assert found["title"] == "against main.json"
    growth = found["intervals"][0]
    assert growth["growth"] == pytest.approx(10, abs=0.2)
    assert growth["low"] < growth["growth"] < growth["high"]
    assert [steps["title"] for steps in found["waterfalls"]] == ["by operator", "by module"]
    assert found["waterfalls"][0]["names"][0] == "aten::clone"
    assert any("+5 aten::clone" in line for line in found["differences"])
    assert ["aten::clone", "0 → 5", "0 ns", "1 ms", "+1 ms"] in found["operators"]


def test_the_same_run_has_no_difference() -> None:
    (found,) = changes(layered(), layered(), "main.json")
    assert found["differences"] == []
    assert found["waterfalls"][0]["names"] == [OTHERS]
    assert found["intervals"][0]["growth"] == 0


def test_a_revision_gives_what_the_pairs_measured() -> None:
    (found,) = changes(layered(interleaved=CHANGES), None, "")
    assert found["title"] == "against main (0123456789)"
    assert found["facts"][0] == "p50 +8.0 % (+5.0 to +11.0 %)"
    (steps,) = found["waterfalls"]
    assert steps["base"] == pytest.approx(10 / 1.08, rel=1e-2)
    assert steps["names"] == ["aten::cat", "aten::native_batch_norm", OTHERS]
    assert found["differences"] == list(CHANGES.differences)


def test_the_allowed_growth_is_that_of_the_check() -> None:
    verdict = Verdict(regression("p50"), "fail", 0.08, 0.05, unit="share", interval=(0.05, 0.11))
    (found,) = changes(layered(interleaved=CHANGES, verdicts=(verdict,)), None, "")
    assert [growth["limit"] for growth in found["intervals"]] == [5.0, None]


def test_a_baseline_gives_its_growth_and_no_waterfall() -> None:
    recorded = Comparison(
        "2026-01-01", 0.03, (-0.01, 0.07), 0.05, 0.01, 3, 1, ("+1 aten::cat",), ("p50",)
    )
    (found,) = changes(network(comparison=recorded), None, "")
    assert found["title"] == "against the baseline of 2026-01-01"
    assert found["facts"][0] == "p50 +3.0 % (-1.0 to +7.0 %)"
    assert found["waterfalls"] == []
    assert found["differences"] == ["+1 aten::cat"]


def test_a_call_that_was_not_compared_has_no_change() -> None:
    assert changes(network(), None, "") == []
    assert growth_over(network(), None) is None
    nothing = replace(CHANGES, ratio=None, interval=None)
    assert growth_over(network(interleaved=nothing), None) is None
