"""The verdict on every kind of limit: pass, fail, inconclusive, and why."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, LIMIT, OPERATORS, PASS, Check
from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.intervals import median_interval, quantile_bounds
from pytest_hiddencost.core.records import (
    GENERATED,
    LATENCY,
    DeviceHealth,
    MacKindCost,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.judge.budgets import check, more_samples_help
from pytest_hiddencost.judge.quantities import Limit
from pytest_hiddencost.run.markers import latency_budget
from tests.profiles import (
    MS,
    S,
    energy_use,
    limit_on,
    network,
    operator,
    patient,
    profile_of,
    samples_around,
)

HOT = DeviceHealth(
    fit=False,
    reasons=("throttled during the run", "load of 3.1 on 2 cores"),
    remedies=("cool the device",),
)


def verdict(profile: Profile, **budget: Any) -> Verdict:
    """The verdict on the one limit of this budget."""
    (found,) = check(profile, latency_budget(**budget))
    return found


def on(key: str, limit: str) -> dict[str, Any]:
    return {"operators": {key: limit}}


# --- every limit, every verdict ----------------------------------------------------------------

# 10 ms: 6 ms MAC kernel, 2 ms native_batch_norm, 1 ms cat, 0.4 ms copy_, 0.2 ms _convolution,
# 0.4 ms outside; 30 MMAC; 24 MiB. Samples and windows scatter by 5 %. Each row: a limit
# that surely holds, one that is surely broken, and one that the measurement cannot decide.
TIMED = [
    ("p50", {"p50": "11 ms"}, {"p50": "9 ms"}, {"p50": "10 ms"}),
    ("p95", {"p95": "11 ms"}, {"p95": "10 ms"}, {"p95": "10.45 ms"}),
    ("p99", {"p99": "11 ms"}, {"p99": "10 ms"}, {"p99": "10.49 ms"}),
    ("non_mac", {"non_mac": "45%"}, {"non_mac": "35%"}, {"non_mac": "40%"}),
    ("non_mac", {"non_mac": "4.5 ms"}, {"non_mac": "3.5 ms"}, {"non_mac": "4 ms"}),
    ("mac_rate", {"mac_rate": "2 GMAC/s"}, {"mac_rate": "4 GMAC/s"}, {"mac_rate": "3 GMAC/s"}),
    *(
        (f"operators[{key}]", on(key, within), on(key, beyond), on(key, open_))
        for key, within, beyond, open_ in [
            ("aten::cat", "11%", "9%", "10%"),
            ("aten::cat", "1.1 ms", "0.9 ms", "1 ms"),
            ("aten::c*", "16%", "12%", "14%"),  # cat and copy_
            ("aten::c*", "1.6 ms", "1.2 ms", "1.4 ms"),
            ("*", "10.2 ms", "9 ms", "9.6 ms"),
            ("data_movement", "5%", "3%", "4%"),
            ("data_movement", "0.5 ms", "0.3 ms", "0.4 ms"),
            ("mac", "65%", "55%", "60%"),
        ]
    ),
]
EXACT = [
    ("macs", {"macs": 30_000_000}, {"macs": 29_999_999}),
    ("macs", {"macs": "31 MMAC"}, {"macs": "29 MMAC"}),
    ("activation_memory", {"activation_memory": "24 MiB"}, {"activation_memory": "25165823 B"}),
    ("operators[aten::cat]", on("aten::cat", "12 calls"), on("aten::cat", "11 calls")),
    ("operators[aten::c*]", on("aten::c*", "26 calls"), on("aten::c*", "25 calls")),
    (
        "operators[data_movement]",
        on("data_movement", "14 calls"),
        on("data_movement", "13 calls"),
    ),
]


@pytest.mark.parametrize(("text", "within", "beyond", "open_"), TIMED)
def test_timed_limits_have_three_verdicts(
    text: str, within: dict[str, Any], beyond: dict[str, Any], open_: dict[str, Any]
) -> None:
    for budget, expected in ((within, PASS), (beyond, FAIL), (open_, INCONCLUSIVE)):
        found = verdict(network(), **budget)
        assert (str(found.check), found.verdict) == (text, expected)
        assert found.interval is not None
        low, high = found.interval
        assert found.measured is not None
        assert low <= found.measured <= high
        if expected == INCONCLUSIVE:
            assert low <= found.limit <= high
            assert "straddles" in found.reason
            assert "--hiddencost-max-time" in found.remedy
        else:
            assert found.explanation == ""


@pytest.mark.parametrize(("text", "within", "beyond"), EXACT)
def test_counted_limits_are_compared_to_the_last_one(
    text: str, within: dict[str, Any], beyond: dict[str, Any]
) -> None:
    for budget, expected in ((within, PASS), (beyond, FAIL)):
        found = verdict(network(), **budget)
        assert (str(found.check), found.verdict, found.explanation) == (text, expected, "")
        assert found.interval == (found.measured, found.measured)


@pytest.mark.parametrize(
    ("budget", "measured", "unit"),
    [
        ({"p50": "1 s"}, 10 * MS, "duration"),
        ({"p95": "1 s"}, 10.45 * MS, "duration"),
        ({"p99": "1 s"}, 10.49 * MS, "duration"),
        ({"non_mac": "99%"}, 0.4, "share"),
        ({"non_mac": "1 s"}, 4 * MS, "duration"),
        ({"mac_rate": "1 MAC/s"}, 3e9, "mac_rate"),
        ({"macs": "1 GMAC"}, 30_000_000, "macs"),
        ({"activation_memory": "1 GiB"}, 24 * 2**20, "bytes"),
        (on("aten::cat", "99%"), 0.1, "share"),
        (on("aten::cat", "1 s"), 1 * MS, "duration"),
        (on("aten::cat", "99 calls"), 12, "calls"),
        (on("aten::c*", "1 s"), 1.4 * MS, "duration"),
        (on("data_movement", "99 calls"), 14, "calls"),
    ],
)
def test_the_measured_value_is_the_profiles_in_the_limits_unit(
    budget: dict[str, Any], measured: float, unit: str
) -> None:
    found = verdict(network(), **budget)
    assert found.measured == pytest.approx(measured, rel=1e-3)
    assert found.unit == unit


def test_every_limit_has_its_verdict_in_the_order_of_the_budget() -> None:
    budget = latency_budget(
        activation_memory="1 GiB",
        macs="1 GMAC",
        mac_rate="1 GMAC/s",
        operators={"view": "0 calls", "aten::cat": "5%"},
        non_mac="50%",
        p99="1 s",
        p95="1 s",
        p50="1 s",
    )
    found = check(network(), budget)
    assert [v.check for v in found] == [limit.check for limit in budget.limits]
    assert {v.check for v in found} == {
        *map(limit_on, ("p50", "p95", "p99", "non_mac", "mac_rate", "macs", "activation_memory")),
        Check(OPERATORS, "view"),
        Check(OPERATORS, "aten::cat"),
    }
    assert [v.limit for v in found] == [limit.value for limit in budget.limits]
    assert [v.check for v in found if v.at_least] == [limit_on("mac_rate")]


def test_a_rate_is_limited_from_below() -> None:
    slower = replace(network(), macs=10_000_000, mac_rate=1e9)
    assert verdict(network(), mac_rate="2 GMAC/s").verdict == PASS
    assert verdict(slower, mac_rate="2 GMAC/s").verdict == FAIL


def test_the_border_itself_is_allowed() -> None:
    steady = profile_of(
        operator("aten::addmm", 6 * MS, macs=30_000_000), samples_ns=[10 * MS] * 600
    )
    for budget in ({"p50": "10 ms"}, {"p99": "10 ms"}, {"mac_rate": "3 GMAC/s"}):
        assert verdict(steady, **budget).verdict == PASS


def test_a_model_without_mac_kernels_is_all_non_mac() -> None:
    bare = profile_of(operator("aten::relu", 6 * MS))
    found = verdict(bare, non_mac="99%")
    assert (found.measured, found.verdict) == (1.0, FAIL)
    assert verdict(bare, mac_rate="1 MAC/s").verdict == FAIL


def test_a_time_in_operators_is_as_uncertain_as_the_latency_it_is_a_share_of() -> None:
    profile = profile_of(operator("aten::cat", 1 * MS, spread=0.0))
    assert profile.latency.median_ci_ns is not None
    share = verdict(profile, **on("aten::cat", "50%")).interval
    time = verdict(profile, **on("aten::cat", "5 ms")).interval
    assert share == pytest.approx((0.1, 0.1))
    assert time == pytest.approx(tuple(0.1 * bound for bound in profile.latency.median_ci_ns))


@pytest.mark.parametrize(("reported", "limit"), [(0.1, "20%"), (0.9, "70%")])
def test_the_reported_share_lies_in_its_interval_whatever_the_windows_were(
    reported: float, limit: str
) -> None:
    found = verdict(replace(network(), non_mac_share=reported), non_mac=limit)
    assert (found.verdict, found.measured) == (INCONCLUSIVE, reported)


def test_unknown_memory_is_inconclusive() -> None:
    found = verdict(replace(network(), activation_peak_bytes=None, device="mps"),
                    activation_memory="1 GiB")  # fmt: skip
    assert (found.verdict, found.measured, found.interval) == (INCONCLUSIVE, None, None)
    assert found.reason == "activation memory cannot be measured on mps"
    assert "take activation_memory out" in found.remedy


# --- too few samples ---------------------------------------------------------------------------


def short(count: int, latency_ns: int = 10 * MS) -> Profile:
    return profile_of(
        operator("aten::addmm", 0.6 * latency_ns, macs=30_000_000),
        samples_ns=samples_around(latency_ns, count),
    )


@pytest.mark.parametrize(
    ("key", "count", "needed"), [("p50", 7, 8), ("p95", 103, 104), ("p99", 527, 528)]
)
def test_too_few_samples_have_a_reason_with_both_numbers(key: str, count: int, needed: int) -> None:
    found = verdict(short(count), **{key: "20 ms"})
    assert found.verdict == INCONCLUSIVE
    assert found.interval is None
    assert found.reason == f"{key} has {count} samples, 99 % confidence needs {needed}"
    assert verdict(short(needed), **{key: "20 ms"}).verdict == PASS


@pytest.mark.parametrize(
    ("confidence", "shown"), [(0.95, "95 %"), (0.999, "99.9 %"), (0.9999, "99.99 %")]
)
def test_the_confidence_that_takes_so_many_samples_is_named(confidence: float, shown: str) -> None:
    profile = profile_of(samples_ns=samples_around(10 * MS, 20), confidence=confidence)
    assert f" samples, {shown} confidence needs" in verdict(profile, p99="20 ms").reason


@pytest.mark.parametrize("latency_ns", [20_000, 10 * MS, 3 * S])
def test_the_time_asked_for_is_enough(latency_ns: int) -> None:
    found = verdict(short(20, latency_ns), p99="100 s")
    match = re.search(r"--hiddencost-max-time=([0-9]+s)", found.remedy)
    assert match is not None, found.remedy
    asked_ns = units.parse(match[1], ["duration"], "remedy").value
    assert asked_ns >= 528 * latency_ns
    assert asked_ns <= 1.5 * 528 * latency_ns + S


def test_few_samples_can_still_show_that_a_limit_is_broken() -> None:
    found = verdict(short(100), p99="9 ms")
    assert (found.verdict, found.interval) == (FAIL, None)


@pytest.mark.parametrize("budget", [{"mac_rate": "1 MAC/s"}, {"non_mac": "9 s"}, {"p50": "9 s"}])
def test_without_an_interval_of_the_median_no_limit_on_it_passes(
    budget: dict[str, str],
) -> None:
    found = verdict(short(7), **budget)
    assert found.verdict == INCONCLUSIVE
    assert re.search(r"\bneeds? 8\b|\b8 of each\b", found.reason)


@pytest.mark.parametrize("limit", ["99%", "9 s"])
@pytest.mark.parametrize("key", ["non_mac", "operators"])
def test_too_few_windows_have_a_reason_with_the_number_needed(key: str, limit: str) -> None:
    profile = profile_of(operator("aten::addmm", 6 * MS, windows=7))
    found = verdict(profile, **({"non_mac": limit} if key == "non_mac" else on("mac", limit)))
    assert (found.verdict, found.interval) == (INCONCLUSIVE, None)
    assert "7 profiler windows" in found.reason
    assert "8 of each are needed" in found.reason
    assert "--hiddencost-max-time" in found.remedy


# --- more samples ------------------------------------------------------------------------------


def test_more_samples_help_with_a_straddling_limit() -> None:
    assert more_samples_help(check(network(), latency_budget(p50="10 ms", macs="1 GMAC")))


@pytest.mark.parametrize("key", ["p50", "p95", "p99"])
def test_more_samples_help_where_there_are_too_few(key: str) -> None:
    assert more_samples_help(check(short(7), latency_budget(**{key: "20 ms"})))


@pytest.mark.parametrize("budget", [{"p50": "1 s"}, {"p50": "1 ms"}, {"macs": 1}])
def test_no_sample_helps_with_a_decided_limit(budget: dict[str, Any]) -> None:
    assert not more_samples_help(check(network(), latency_budget(**budget)))


@pytest.mark.parametrize("budget", [{"macs": "1 GMAC"}, {"mac_rate": "4 GMAC/s"}])
def test_no_sample_finds_a_missing_formula(
    budget: dict[str, Any],
) -> None:
    incomplete = replace(network(), uncosted=("mylib::gemm",))
    assert not more_samples_help(check(incomplete, latency_budget(**budget)))


def test_no_sample_measures_unknown_memory() -> None:
    unknown = replace(network(), activation_peak_bytes=None)
    assert not more_samples_help(check(unknown, latency_budget(activation_memory="1 GiB")))


def test_no_sample_narrows_the_range_of_calls_that_vary() -> None:
    varying = profile_of(operator("aten::cat", MS, 12, calls_range=(10, 14)))
    assert not more_samples_help(check(varying, latency_budget(**on("aten::cat", "12 calls"))))


# --- an unfit device ---------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "within", "beyond", "open_"), TIMED)
def test_on_an_unfit_device_no_timed_limit_is_decided(
    text: str, within: dict[str, Any], beyond: dict[str, Any], open_: dict[str, Any]
) -> None:
    unfit = replace(network(), health=HOT)
    for budget in (within, beyond, open_):
        found = verdict(unfit, **budget)
        assert (str(found.check), found.verdict) == (text, INCONCLUSIVE)
        assert found.reason == "throttled during the run; load of 3.1 on 2 cores"
        assert found.remedy == "cool the device"
        assert found.measured is not None
        assert found.interval is None, "nobody is confident of the value"


@pytest.mark.parametrize(("text", "within", "beyond"), EXACT)
def test_on_an_unfit_device_exact_limits_are_decided(
    text: str, within: dict[str, Any], beyond: dict[str, Any]
) -> None:
    unfit = replace(network(), health=HOT)
    for budget, expected in ((within, PASS), (beyond, FAIL)):
        found = verdict(unfit, **budget)
        assert (str(found.check), found.verdict) == (text, expected)


# --- the operators that a key names ------------------------------------------------------------


def test_a_name_means_that_operator_and_no_other() -> None:
    profile = profile_of(operator("aten::add", MS, 3), operator("aten::add_", MS, 4))
    assert verdict(profile, **on("aten::add", "3 calls")).verdict == PASS
    assert verdict(profile, **on("aten::add*", "7 calls")).measured == 7


def test_a_group_means_every_operator_in_it() -> None:
    profile = profile_of(
        operator("aten::copy_", MS, 2), operator("aten::clone", MS, 3), operator("aten::cat", MS, 9)
    )
    found = verdict(profile, **on("data_movement", "5 calls"))
    assert (found.verdict, found.measured) == (PASS, 5)
    assert verdict(profile, **on("data_movement", "1.9 ms")).verdict == FAIL


@pytest.mark.parametrize("limit", ["5%", "0.4 ms", "12 calls"])
@pytest.mark.parametrize("key", ["aten::upsample_bicubic2d", "mylib::*", "pooling", "aten::cta"])
def test_a_limit_whose_key_matches_nothing_fails(key: str, limit: str) -> None:
    found = verdict(network(), **on(key, limit))
    assert found.verdict == FAIL
    assert found.measured is None
    assert found.reason.startswith(f"{key!r} matches no operator of this call")
    assert all(cost.name in found.reason for cost in network().operators)


def test_a_limit_whose_key_matches_nothing_has_no_interval() -> None:
    # 0 to 0 would lie within the limit, but the verdict is a failure.
    assert verdict(network(), **on("pooling", "5%")).interval is None


def test_the_first_six_of_many_operators_are_named() -> None:
    profile = profile_of(*(operator(f"mylib::op{i}", MS / 10) for i in range(9)))
    reason = verdict(profile, **on("pooling", "5%")).reason
    assert "mylib::op5 and 3 more" in reason
    assert "mylib::op6" not in reason


@pytest.mark.parametrize("none", ["0 calls", "0%", "0 ms", 0])
@pytest.mark.parametrize("key", ["aten::upsample_bicubic2d", "aten::add_.Tensor", "pooling"])
def test_a_limit_of_no_calls_holds_for_a_known_operator_that_was_not_called(
    key: str, none: object
) -> None:
    found = verdict(network(), operators={key: none})
    assert (found.verdict, found.measured, found.explanation) == (PASS, 0.0, "")


@pytest.mark.parametrize("key", ["aten::cta", "mylib::fused", "mylib::*", "aten::*ctz*"])
def test_a_limit_of_no_calls_fails_for_an_unknown_operator_which_may_be_misspelled(
    key: str,
) -> None:
    found = verdict(network(), **on(key, "0 calls"))
    assert found.verdict == FAIL
    assert repr(key) in found.reason


@pytest.mark.parametrize("key", ["aten::*copy*", "*batch_norm", "aten::ca[st]", "quantized::*"])
def test_a_limit_of_no_calls_holds_for_a_glob_that_matches_known_operators(key: str) -> None:
    without = profile_of(operator("aten::relu", MS))
    assert verdict(without, **on(key, "0 calls")).verdict == PASS


@pytest.mark.parametrize("limit", ["0 calls", "0%", "0 ms", "1 calls"])
def test_a_limit_on_an_operator_that_no_window_saw_is_open_if_the_calls_vary(limit: str) -> None:
    varying = network(varies=("calls", "macs", LATENCY))
    found = verdict(varying, **on("aten::sort", limit))
    assert (found.verdict, found.measured) == (INCONCLUSIVE, None)
    assert found.reason == "the number of calls varies from call to call"
    assert "setup=" in found.remedy
    assert not found.sampling_helps
    assert verdict(varying, **on("mylib::fused", limit)).verdict == FAIL, "it may be misspelled"


def test_one_call_breaks_a_limit_of_no_calls() -> None:
    found = verdict(network(), **on("aten::cat", "0 calls"))
    assert (found.verdict, found.measured) == (FAIL, 12)


def test_an_operator_a_user_gave_a_group_is_known() -> None:
    taxonomy = DEFAULT.extended({"mylib::fused": "normalization"})
    budget = latency_budget(**on("mylib::fused", "0 calls"))
    assert check(network(), budget, taxonomy)[0].verdict == PASS
    assert check(network(), budget)[0].verdict == FAIL


# --- a call without operators ------------------------------------------------------------------


def test_without_any_operator_only_the_latency_is_decided() -> None:
    silent = profile_of()
    assert verdict(silent, p50="11 ms").verdict == PASS
    for budget in ({"macs": 1}, {"non_mac": "99%"}, {"activation_memory": "1 GiB"},
                   on("aten::cat", "0 calls")):  # fmt: skip
        found = verdict(silent, **budget)
        assert (found.verdict, found.measured) == (INCONCLUSIVE, None)
        assert found.reason.startswith("the profiler saw no operator")
        assert "limit p50 alone" in found.remedy
    assert verdict(silent, **on("aten::cat", "5%")).verdict == FAIL, "it has to match something"


# --- wrappers that hide a kernel ---------------------------------------------------------------


def test_a_wrapper_that_hides_a_kernel_is_split_between_groups() -> None:
    profile = profile_of(
        operator("aten::_convolution", 4 * MS, 2, mac_share=0.75), operator("aten::addmm", 1 * MS)
    )
    as_limits = {"mac": 4 * MS, "wrapper": 1 * MS, "aten::_convolution": 4 * MS, "*": 5 * MS}
    for key, expected_ns in as_limits.items():
        assert verdict(profile, **on(key, "1 s")).measured == pytest.approx(expected_ns)
    assert verdict(profile, non_mac="1 s").measured == pytest.approx(6 * MS)
    assert verdict(profile, non_mac="55%").verdict == FAIL
    assert verdict(profile, non_mac="65%").verdict == PASS


# --- operators without a MAC formula -----------------------------------------------------------


def test_incomplete_macs_cannot_pass_but_can_fail() -> None:
    incomplete = replace(network(), uncosted=("mylib::gemm",))
    found = verdict(incomplete, macs="40 MMAC")
    assert (found.verdict, found.measured) == (INCONCLUSIVE, 30_000_000)
    assert found.reason == "MACs are incomplete: no formula for mylib::gemm"
    assert found.remedy == "limit p50 or operators instead of macs"
    assert verdict(incomplete, macs="29 MMAC").verdict == FAIL  # they can only be more


def test_incomplete_macs_can_pass_a_rate_but_not_fail_it() -> None:
    incomplete = replace(network(), uncosted=("mylib::gemm", "mylib::conv"))
    found = verdict(incomplete, mac_rate="4 GMAC/s")
    assert found.verdict == INCONCLUSIVE
    assert found.reason == "MACs are incomplete: no formula for mylib::gemm, mylib::conv"
    assert verdict(incomplete, mac_rate="2 GMAC/s").verdict == PASS


def test_incomplete_macs_change_no_other_verdict() -> None:
    incomplete = replace(network(), uncosted=("mylib::gemm",))
    assert verdict(incomplete, p50="11 ms").verdict == PASS
    assert verdict(incomplete, activation_memory="1 GiB").verdict == PASS
    assert verdict(incomplete, **on("aten::cat", "12 calls")).verdict == PASS


# --- a structure that varies -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("15 calls", INCONCLUSIVE),
        ("12 calls", INCONCLUSIVE),
        ("9 calls", INCONCLUSIVE),
        ("0 calls", FAIL),
    ],
)
def test_calls_that_vary_only_break_a_limit_that_allows_none(limit: str, expected: str) -> None:
    profile = profile_of(operator("aten::cat", MS, 12, calls_range=(10, 14)))
    found = verdict(profile, **on("aten::cat", limit))
    assert (found.verdict, found.measured, found.interval) == (expected, 12, (10, 14))
    if expected == INCONCLUSIVE:
        assert found.reason == "the number of calls varies from call to call"
        assert found.remedy.startswith("make the call do the same work every time")


def test_ranges_of_several_operators_add_up() -> None:
    profile = profile_of(
        operator("aten::cat", MS, 12, calls_range=(10, 14)), operator("aten::copy_", MS, 3)
    )
    assert verdict(profile, **on("aten::c*", "99 calls")).interval == (13, 17)


@pytest.mark.parametrize(
    "budget", [{"p50": "10 s"}, {"p95": "1 us"}, {"non_mac": "100%"}, {"mac_rate": "1 MAC/s"}]
)
def test_timed_limits_are_open_on_a_call_whose_times_depend_on_the_number_of_calls(
    budget: dict[str, str],
) -> None:
    found = verdict(network(varies=(LATENCY,)), **budget)
    assert found.verdict == INCONCLUSIVE
    assert found.reason.startswith("the call changes as it is repeated")
    assert "setup=" in found.remedy
    assert not found.sampling_helps


def test_exact_limits_are_open_on_what_varies() -> None:
    """More MACs or bytes than allowed in one call may be fewer in the next one."""
    for varies, budget in (
        ("macs", {"macs": "1 MAC"}),
        ("macs", {"macs": "99 GMAC"}),
        ("macs", {"mac_rate": "1 MAC/s"}),
        ("activation_memory", {"activation_memory": "1 B"}),
    ):
        found = verdict(network(varies=(varies,)), **budget)
        assert found.verdict == INCONCLUSIVE
        assert "differ from call to call" in found.reason
        assert "setup=" in found.remedy
        assert not found.sampling_helps
    assert verdict(network(varies=("macs",)), p50="10 s").verdict == PASS


def test_macs_that_vary_are_the_reason_even_if_some_are_not_counted() -> None:
    found = verdict(network(varies=("macs",), uncosted=("mylib::gemm",)), macs="1 GMAC")
    assert found.verdict == INCONCLUSIVE
    assert found.reason == "MACs differ from call to call"


def test_calls_that_grow_from_call_to_call_are_open() -> None:
    growing = profile_of(operator("aten::cat", MS, 12))
    growing = replace(growing, varies=("calls",))
    assert verdict(growing, **on("aten::cat", "11 calls")).verdict == INCONCLUSIVE


# --- work out of sight -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({"macs": "99 GMAC"}, INCONCLUSIVE),
        ({"macs": "1 MAC"}, FAIL),
        ({"mac_rate": "99 GMAC/s"}, INCONCLUSIVE),
        ({"mac_rate": "1 MAC/s"}, PASS),
        ({"non_mac": "1%"}, INCONCLUSIVE),
        ({"non_mac": "99%"}, PASS),
        ({"activation_memory": "1 GiB"}, INCONCLUSIVE),
        ({"activation_memory": "1 B"}, FAIL),
        ({"p50": "10 s"}, PASS),
        (on("aten::cat", "99 calls"), INCONCLUSIVE),
        (on("aten::cat", "1 calls"), FAIL),
        (on("aten::sort", "0 calls"), INCONCLUSIVE),
        (on("aten::sort", "9 calls"), INCONCLUSIVE),
    ],
)
def test_work_out_of_sight_leaves_open_what_it_could_change(
    budget: dict[str, Any], expected: str
) -> None:
    found = verdict(network(unseen_ns=90_000), **budget)
    assert found.verdict == expected
    if expected == INCONCLUSIVE:
        assert found.reason.startswith(
            "hiddencost saw only a part of the work: 90 us of CPU time of"
        )
        assert "limit p50 instead" in found.remedy
        assert not found.sampling_helps


def test_no_limit_of_zero_calls_passes_if_nothing_was_seen() -> None:
    found = verdict(profile_of(unseen_ns=1), **on("aten::addmm", "0 calls"))
    assert found.verdict == INCONCLUSIVE


# --- properties --------------------------------------------------------------------------------

times_ns = st.integers(1, 10**6)
latencies = st.lists(times_ns, min_size=1, max_size=700)


def verdict_of(bounds: tuple[float, float] | None, limit: float) -> str:
    """The verdict on "at most limit" of a measurement known to lie within these bounds."""
    if bounds is None:
        return INCONCLUSIVE
    low, high = bounds
    return PASS if high <= limit else FAIL if low > limit else INCONCLUSIVE


@patient
@given(samples_ns=latencies, limit_ns=times_ns, key=st.sampled_from(["p50", "p95", "p99"]))
def test_a_quantile_passes_if_its_whole_interval_is_within_and_fails_if_none_of_it_is(
    samples_ns: list[int], limit_ns: int, key: str
) -> None:
    profile = profile_of(samples_ns=samples_ns)
    bounds = quantile_bounds(sorted(samples_ns), int(key[1:]) / 100, 0.99)
    found = verdict(profile, **{key: f"{limit_ns} ns"})
    assert found.verdict == verdict_of(bounds, limit_ns)
    assert found.interval == (bounds if all(map(math.isfinite, bounds)) else None)


@patient
@given(
    windows=st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=8, max_size=30
    ),
    limit=st.integers(0, 100),
)
def test_the_interval_of_a_share_is_that_of_the_windows_sums(
    windows: list[tuple[int, int]], limit: int
) -> None:
    def cost(name: str, seen: list[int]) -> Any:
        return replace(
            operator(name, float(sorted(seen)[len(seen) // 2])), windows_ns=tuple(map(float, seen))
        )

    profile = profile_of(
        cost("aten::cat", [a for a, _ in windows]),
        cost("aten::stack", [b for _, b in windows]),
        samples_ns=[10_000] * 600,
    )
    between = median_interval([(a + b) / 10_000 for a, b in windows], 0.99)
    assert between is not None
    share = sum(o.self_ns for o in profile.operators) / 10_000
    bounds = (min(share, between[0]), max(share, between[1]))
    found = verdict(profile, **on("concatenation", f"{limit} %"))
    assert found.measured == pytest.approx(share)
    assert found.interval == pytest.approx(bounds)
    if all(abs(bound - limit / 100) > 1e-9 for bound in bounds):
        assert found.verdict == verdict_of(bounds, limit / 100)


@patient
@given(samples_ns=latencies.filter(lambda samples: len(samples) >= 8), rate=st.integers(1, 10**6))
def test_a_rate_passes_only_if_its_whole_interval_is_reached(
    samples_ns: list[int], rate: int
) -> None:
    profile = profile_of(operator("aten::addmm", 1, macs=10**5), samples_ns=samples_ns)
    interval = median_interval(samples_ns, 0.99)
    assert interval is not None
    slowest, fastest = (10**5 / bound for bound in reversed(interval))
    found = verdict(profile, mac_rate=f"{rate} GMAC/s")
    assert found.verdict == (PASS if slowest >= rate else FAIL if fastest < rate else INCONCLUSIVE)


@pytest.mark.parametrize(("limit", "expected"), [("10%", INCONCLUSIVE), ("60%", PASS)])
def test_products_in_generated_kernels_may_pass_a_limit_on_non_mac_time_and_not_fail_it(
    limit: str, expected: str
) -> None:
    generated = MacKindCost(GENERATED, 1, 4096, None)
    found = verdict(replace(network(), mac_kinds=(generated,)), non_mac=limit)
    assert found.verdict == expected
    if expected == INCONCLUSIVE:
        assert found.reason.startswith("4.1 kMAC ran in generated kernels")
        assert not found.sampling_helps


def test_macs_of_generated_kernels_count_in_a_limit() -> None:
    generated = MacKindCost(GENERATED, 1, 40, None)
    profile = replace(profile_of(), macs=40, mac_kinds=(generated,))
    assert verdict(profile, macs="40 MAC").verdict == PASS
    assert verdict(profile, macs="39 MAC").verdict == FAIL


@patient
@given(samples_ns=latencies, tighter=times_ns, looser=times_ns)
def test_a_looser_limit_never_turns_a_pass_into_anything_else(
    samples_ns: list[int], tighter: int, looser: int
) -> None:
    order = [FAIL, INCONCLUSIVE, PASS]
    profile = profile_of(samples_ns=samples_ns)
    low, high = sorted((tighter, looser))
    found = [verdict(profile, p50=f"{limit} ns").verdict for limit in (low, high)]
    assert order.index(found[0]) <= order.index(found[1])


@pytest.mark.parametrize(
    ("unit", "timed"),
    [("duration", True), ("share", True), ("mac_rate", True),
     ("macs", False), ("bytes", False), ("calls", False)],
)  # fmt: skip
def test_only_counts_need_no_clock(unit: units.Kind, timed: bool) -> None:
    assert Limit(Check(LIMIT, "key"), unit, 1.0).timed == timed


def test_a_budget_is_timed_if_one_of_its_limits_is() -> None:
    assert latency_budget(macs=1, p50="1 s").timed
    assert not latency_budget(macs=1, activation_memory="1 B", **on("*", "1 calls")).timed


def test_time_that_may_be_mac_time_cannot_break_non_mac() -> None:
    unknown = operator("mylib::gemm", 8 * MS)
    profile = profile_of(unknown, operator("aten::addmm", 1 * MS))
    assert verdict(profile, non_mac="50%").verdict == FAIL
    found = verdict(replace(profile, uncosted=("mylib::gemm",)), non_mac="50%")
    assert found.verdict == INCONCLUSIVE
    assert "mylib::gemm" in found.reason
    kernel = replace(profile, uncosted=("aten::addmm",))  # its time is MAC time already
    assert verdict(kernel, non_mac="50%").verdict == FAIL


# --- the uncertainty of the profiler's overhead --------------------------------------------------

BOOKKEEPING = profile_of(
    operator("aten::mkldnn_convolution", 8 * MS, 20, macs=10**6, uncertainty_ns=0.01 * MS),
    operator("aten::narrow", 0.5 * MS, 1000, uncertainty_ns=0.2 * MS, below_resolution=True),
    operator("aten::slice", 0.3 * MS, 1000, uncertainty_ns=0.1 * MS, below_resolution=True),
)


@pytest.mark.parametrize("limit", ["0.6 ms", "1 ms", "6%", "10%"])
def test_a_limit_within_the_uncertainty_of_the_overhead_is_inconclusive(limit: str) -> None:
    found = verdict(BOOKKEEPING, **on("view", limit))
    assert found.verdict == INCONCLUSIVE
    assert "400 ns per event" in found.reason
    assert "below resolution: aten::narrow, aten::slice" in found.reason
    assert "limit a whole group" in found.remedy
    assert not found.sampling_helps
    assert found.interval is not None


@pytest.mark.parametrize(("limit", "expected"), [("0.3 ms", FAIL), ("1.3 ms", PASS)])
def test_the_sum_of_operators_below_resolution_may_have_a_limit(limit: str, expected: str) -> None:
    found = verdict(BOOKKEEPING, **on("view", limit))
    assert found.verdict == expected
    assert found.measured == pytest.approx(0.8 * MS)


def test_the_interval_is_that_of_the_windows_and_the_uncertainty_of_the_overhead() -> None:
    latency_ns = BOOKKEEPING.latency.median_ns
    assert verdict(BOOKKEEPING, **on("view", "50%")).interval == pytest.approx(
        ((0.8 * MS - 0.3 * MS) / latency_ns, (0.8 * MS + 0.3 * MS) / latency_ns)
    )


def test_non_mac_is_as_uncertain_as_the_mac_kernels_are() -> None:
    found = verdict(BOOKKEEPING, non_mac="50%")
    assert found.interval == pytest.approx((0.2 - 0.001, 0.2 + 0.001))


def test_calls_are_exact_whatever_the_profiler_costs() -> None:
    assert verdict(BOOKKEEPING, **on("aten::narrow", "1000 calls")).verdict == PASS


# --- energy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "outcome"), [("13 mJ", PASS), ("11 mJ", FAIL), ("12 mJ", INCONCLUSIVE)]
)
def test_energy_is_judged_by_its_interval(limit: str, outcome: str) -> None:
    profile = network(energy=energy_use(12e6))
    found = verdict(profile, energy=limit)
    assert (found.verdict, found.measured, found.unit) == (outcome, 12e6, "energy")
    assert profile.energy is not None
    assert found.interval == profile.energy.interval_nj


def test_an_energy_that_is_unknown_is_no_energy_of_0() -> None:
    why = EnergyUnknown("no energy meter found", "permit it: sudo chmod")
    found = verdict(network(energy_unknown=why), energy="1 J")
    assert (found.verdict, found.measured) == (INCONCLUSIVE, None)
    assert found.reason == "the energy of a call is unknown: no energy meter found"
    assert found.remedy == "permit it: sudo chmod"


def test_energy_of_an_unfit_device_is_inconclusive() -> None:
    found = verdict(network(energy=energy_use(12e6), health=HOT), energy="1 J")
    assert found.verdict == INCONCLUSIVE
    assert "throttled during the run" in found.reason


def test_energy_needs_no_operator_and_counts_work_in_other_threads() -> None:
    profile = profile_of(energy=energy_use(12e6), unseen_ns=10**6)
    assert verdict(profile, energy="13 mJ").verdict == PASS
    assert verdict(profile, energy="11 mJ").verdict == FAIL


def test_more_samples_of_the_latency_do_not_decide_an_energy() -> None:
    found = check(network(energy=energy_use(12e6)), latency_budget(energy="12 mJ"))
    assert not more_samples_help(found)


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ({"energy": "1 J"}, True),
        ({"regression": {"energy": "5%"}}, True),
        ({"p50": "1 s", "regression": "5%"}, False),
    ],
)
def test_only_a_limit_on_energy_needs_it_measured(limits: dict[str, Any], needed: bool) -> None:
    assert latency_budget(**limits).needs_energy is needed
