"""Samples, their distribution, percentiles and limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import LIMIT, Check
from pytest_hiddencost.core.records import Verdict
from pytest_hiddencost.report.html.samples import samples_chart
from tests.profiles import MS, latency_of, limit_on, network, patient
from tests.report.html.reports import layered


def test_samples_keep_their_order_and_have_one_unit() -> None:
    chart = samples_chart(network(latency=latency_of([3_000_000, 1_000_000, 2_000_000])))
    assert (chart["unit"], chart["y"], chart["step"]) == ("ms", [3.0, 1.0, 2.0], 1)


def test_percentiles_have_their_values_in_words() -> None:
    profile = network()
    by_kind = {line["kind"]: line for line in samples_chart(profile)["lines"]}
    assert by_kind["p50"]["name"] == "p50 10 ms"
    assert by_kind["p95"]["value"] == pytest.approx(profile.latency.p95_ns / MS, rel=1e-5)
    assert set(by_kind) == {"p50", "p95", "p99"}


def test_limits_on_percentiles_are_lines() -> None:
    verdicts = (
        Verdict(limit_on("p95"), "pass", 10 * MS, 11 * MS),
        Verdict(limit_on("p99"), "pass", 10 * MS, 30 * MS),
        Verdict(Check(LIMIT, "non_mac"), "pass", 0.3, 0.5, unit="share"),
    )
    lines = samples_chart(network(verdicts=verdicts))["lines"]
    assert [line["name"] for line in lines if line["kind"] == "limit"] == [
        "limit on p95 11 ms", "limit on p99 30 ms, off the axis",
    ]  # fmt: skip


def test_one_slow_call_does_not_flatten_the_others() -> None:
    chart = samples_chart(layered())
    assert chart["range"][1] < 15
    assert chart["above"] == 1
    assert chart["beyond"][0][1] > 30
    assert sum(chart["counts"]) + chart["above"] == chart["count"] == 300


def test_a_far_limit_is_not_on_the_axis() -> None:
    far = (Verdict(limit_on("p50"), "pass", 10 * MS, 1000 * MS),)
    assert samples_chart(network(verdicts=far))["range"][1] < 20


def test_many_samples_are_thinned_and_the_histogram_has_all() -> None:
    chart = samples_chart(layered(), most=100)
    assert (chart["step"], len(chart["y"]), chart["count"]) == (3, 100, 300)
    assert sum(chart["counts"]) + chart["above"] == 300


@settings(patient, max_examples=30)
@given(st.lists(st.integers(1, 2**50), min_size=1, max_size=80))
def test_every_sample_is_in_the_histogram_or_beyond(samples: list[int]) -> None:
    chart = samples_chart(network(latency=latency_of(samples)))
    assert sum(chart["counts"]) + chart["above"] == len(samples)
    assert chart["above"] == len(chart["beyond"])
    assert chart["edges"] == sorted(chart["edges"])


def test_no_sample_is_no_error() -> None:
    latency = replace(network().latency, samples_ns=())
    assert samples_chart(network(latency=latency))["y"] == []
