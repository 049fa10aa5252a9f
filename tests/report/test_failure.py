"""The message of a test that fails: its figures are the stored ones, its tables name the cause."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import (
    FAIL,
    INCONCLUSIVE,
    NEW,
    OPERATORS,
    PASS,
    Check,
    Outcome,
    regression,
)
from pytest_hiddencost.core.records import (
    CallSiteCost,
    Comparison,
    InterleavedComparison,
    OperatorChange,
    OperatorCost,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.report.failure import failure_message, failure_messages
from tests.profiles import (
    MS,
    limit_on,
    network,
    operator,
    patient,
    profile_of,
    read_table,
    read_tables,
)
from tests.report.printed import judged, shown, value


def lines(profile: Profile, *, strict: bool = False) -> list[str]:
    return failure_message(profile, strict=strict).splitlines()


def limits(profile: Profile, *, strict: bool = False) -> list[dict[str, str]]:
    """The rows of the table of limits."""
    return read_tables(lines(profile, strict=strict))[0]


def costs(profile: Profile) -> dict[str, list[dict[str, str]]]:
    """The rows of each table of costs, by its title."""
    message = lines(profile)
    titles = [line for line in message if line.endswith(":")]
    tables = read_tables(message)[1:]
    return dict(zip(titles, tables, strict=True))


# --- the first line ----------------------------------------------------------------------------


def test_the_first_line_names_the_first_broken_limit_and_counts_them() -> None:
    profile = judged(network(), p50="20 ms", p95="8 ms", macs="1 MMAC")
    assert lines(profile)[0] == (
        "p95 10.5 ms, at most 8 ms; 2 of 3 limits broken by MobileNet on cpu"
    )


def test_the_first_line_names_the_call_of_a_test_that_makes_several() -> None:
    profile = judged(network(label="batch 1", device="cuda:1"), p50="1 ms")
    assert lines(profile)[0].endswith("broken by MobileNet (batch 1) on cuda:1")


def test_a_rate_is_limited_from_below() -> None:
    assert lines(judged(network(), mac_rate="4 GMAC/s"))[0].startswith(
        "mac_rate 3 GMAC/s, at least 4 GMAC/s; "
    )


def test_a_key_that_matched_nothing_has_no_measured_value() -> None:
    profile = judged(network(), operators={"pooling": "5%"})
    assert lines(profile)[0] == (
        "operators[pooling]: 'pooling' matches no operator of this call, so the limit checks "
        "nothing; 1 of 1 limits broken by MobileNet on cpu"
    )
    (row,) = limits(profile)
    assert (row["measured"], row["99 % interval"]) == ("-", "-")
    assert "'pooling' matches no operator of this call" in failure_message(profile)


def test_strictly_an_inconclusive_limit_is_broken_and_called_inconclusive() -> None:
    profile = judged(network(), p50="10 ms", p99="20 ms")
    assert lines(profile, strict=True)[0].startswith(
        "p50 is inconclusive: 10 ms, at most 10 ms; 1 of 2 limits broken"
    )
    assert "Where the latency goes:" in lines(profile, strict=True)


# --- the table of limits -----------------------------------------------------------------------


def test_broken_limits_come_first_and_keep_their_order() -> None:
    profile = judged(
        network(), p50="20 ms", p95="8 ms", non_mac="40%", operators={"aten::cat": "5%"},
        mac_rate="1 GMAC/s", activation_memory="1 MiB",
    )  # fmt: skip
    rows = limits(profile)
    assert [(row["limit"], row["verdict"]) for row in rows] == [
        ("p95", "FAIL"),
        ("operators[aten::cat]", "FAIL"),
        ("activation_memory", "FAIL"),
        ("p50", "pass"),
        ("non_mac", "inconclusive"),
        ("mac_rate", "pass"),
    ]
    strictly = limits(profile, strict=True)
    assert [row["limit"] for row in strictly][:4] == [
        "p95", "non_mac", "operators[aten::cat]", "activation_memory",
    ]  # fmt: skip


def test_counts_are_exact() -> None:
    rows = limits(judged(network(), macs="1 MMAC", operators={"aten::cat": "3 calls"}))
    assert {row["limit"]: row["99 % interval"] for row in rows} == {
        "macs": "exact", "operators[aten::cat]": "exact",
    }  # fmt: skip
    assert [row["measured"] for row in rows] == ["12 calls", "30 MMAC"]
    assert [row["allowed"] for row in rows] == ["at most 3 calls", "at most 1 MMAC"]


@pytest.mark.parametrize(
    ("confidence", "header"),
    [(0.9, "90 % interval"), (0.95, "95 % interval"), (0.999, "99.9 % interval"),
     (0.9999, "99.99 % interval"), (0.999999, "99.9999 % interval")],
)  # fmt: skip
def test_the_column_of_intervals_has_their_confidence(confidence: float, header: str) -> None:
    profile = profile_of(operator("aten::addmm", MS), confidence=confidence)
    assert header in limits(judged(profile, p50="1 ms"))[0]


OPERATORS_OF_CAT = Check(OPERATORS, "aten::cat")
ranges: dict[Kind, tuple[float, float]] = {
    "duration": (1, 1e11),
    "share": (1e-4, 2),
    "mac_rate": (1, 1e13),
    "macs": (1, 1e13),
    "bytes": (1, 1e12),
    "calls": (1, 1e6),
}


@st.composite
def any_verdicts(draw: st.DrawFn) -> Verdict:
    unit = draw(st.sampled_from(sorted(ranges)))
    low, high = ranges[unit]
    counted = unit in ("macs", "bytes", "calls")
    numbers: st.SearchStrategy[float] = (
        st.integers(int(low), int(high)) if counted else st.floats(low, high)
    )
    measured, limit = draw(numbers), draw(numbers)
    around = (measured * 0.9, measured * 1.2)
    return Verdict(
        check=draw(
            st.sampled_from([*map(limit_on, ("p50", "non_mac", "mac_rate")), OPERATORS_OF_CAT])
        ),
        verdict=draw(st.sampled_from([PASS, FAIL, INCONCLUSIVE])),
        measured=measured,
        limit=limit,
        reason="",
        unit=unit,
        interval=(measured, measured) if counted else around,
        at_least=draw(st.booleans()),
    )


broken = Verdict(limit_on("p50"), FAIL, 2.0, 1.0, "", "duration", (1.5, 2.5))


@patient
@given(st.lists(any_verdicts(), max_size=6))
def test_every_figure_printed_is_the_one_stored(others: list[Verdict]) -> None:
    verdicts = (broken, *others)
    rows = limits(replace(network(), verdicts=verdicts))
    ordered = sorted(verdicts, key=lambda verdict: verdict.verdict != FAIL)
    for row, verdict in zip(rows, ordered, strict=True):
        assert row["limit"] == str(verdict.check)
        assert row["verdict"].lower() == verdict.verdict
        assert value(row["measured"], verdict.unit) == shown(verdict.measured or 0)
        bound, _, allowed = row["allowed"].partition(" ")[2].partition(" ")
        assert bound == ("least" if verdict.at_least else "most")
        assert value(allowed, verdict.unit) == shown(verdict.limit)
        assert verdict.interval is not None
        if verdict.interval[0] == verdict.interval[1]:
            assert row["99 % interval"] == "exact"
            continue
        low, high = row["99 % interval"].split(" to ")
        unit = high.split(" ", 1)[1]
        assert value(f"{low} {unit}", verdict.unit) == shown(verdict.interval[0])
        assert value(high, verdict.unit) == shown(verdict.interval[1])


# --- the reasons -------------------------------------------------------------------------------


def test_every_reason_is_shown_with_its_limit_and_its_remedy() -> None:
    profile = judged(network(), p50="1 ms", non_mac="40%", operators={"mylib::*": "5%"})
    message = lines(profile)
    found = {str(v.check): v for v in profile.verdicts if v.reason}
    assert set(found) == {"non_mac", "operators[mylib::*]"}
    non_mac = found["non_mac"]
    assert non_mac.remedy
    assert f"non_mac: inconclusive: {non_mac.reason}; {non_mac.remedy}" in message
    assert f"operators[mylib::*]: fail: {found['operators[mylib::*]'].reason}" in message


def test_checks_that_share_a_reason_are_listed_before_it() -> None:
    verdicts = tuple(
        Verdict(regression(key), INCONCLUSIVE, None, 0.05, "spread", "share", remedy="do it")
        for key in ("p50", "non_mac", "calls", "macs", "allocated_bytes")
    )
    [reason] = [line for line in lines(network(verdicts=(broken, *verdicts))) if "spread" in line]
    assert reason == (
        "regression[p50], regression[non_mac], regression[calls], regression[macs] and 1 more: "
        "inconclusive: spread; do it"
    )


def test_open_and_passing_growths_are_shown_after_those_that_fail() -> None:
    found: dict[str, Outcome] = {"calls": PASS, "non_mac": FAIL, "p50": INCONCLUSIVE}
    verdicts = tuple(
        Verdict(regression(key), verdict, 0.1, 0.05, "why", "share", (0.0, 0.2))
        for key, verdict in found.items()
    )
    rows = limits(network(verdicts=verdicts))
    assert [row["limit"] for row in rows] == [
        "regression[non_mac]", "regression[calls]", "regression[p50]",
    ]  # fmt: skip
    assert rows[0]["measured"] == "+10 %"
    assert rows[0]["allowed"] == "at most +5 %"


# --- which profiles fail -----------------------------------------------------------------------

STALE = Comparison("0123abc", improved=("calls",))


def test_every_failing_profile_has_a_message_in_their_order() -> None:
    profiles = [
        judged(network(label="a"), p50="1 ms"),
        judged(network(label="b"), p50="1 s"),
        judged(network(label="c"), p50="2 ms"),
    ]
    found = failure_messages(profiles)
    assert found == [failure_message(profiles[0]), failure_message(profiles[2])]


def test_only_a_failing_verdict_fails_a_test() -> None:
    profiles = [judged(network(), p50="10 ms"), new_call(), network(comparison=STALE)]
    assert failure_messages(profiles) == []


def test_strictly_inconclusive_and_new_ones_fail_and_stale_ones_come_last() -> None:
    stale = judged(network(label="stale", comparison=STALE), p50="1 s")
    undecided = judged(network(label="undecided"), p50="10 ms")
    passing = judged(network(label="passing"), p50="1 s")
    found = failure_messages([stale, undecided, passing, new_call()], strict=True)
    heads = [message.splitlines()[0] for message in found]
    assert heads == [
        "p50 is inconclusive: 10 ms, at most 10 ms; 1 of 1 limits broken by MobileNet (undecided) "
        "on cpu",
        "new: no baseline; 1 of 1 limits broken by MobileNet on cpu",
        "baseline is stale: less calls; accept with --hiddencost-update; 0 of 1 limits broken by "
        "MobileNet (stale) on cpu",
    ]


def test_a_missing_baseline_is_in_the_message_only_if_it_fails_the_test() -> None:
    slow = judged(network(), p50="1 ms")
    profile = replace(slow, verdicts=(*slow.verdicts, *new_call().verdicts))
    assert [row["limit"] for row in limits(profile)] == ["p50"]
    assert "no baseline" not in failure_message(profile)
    rows = limits(profile, strict=True)
    assert [(row["limit"], row["allowed"]) for row in rows][1:] == [("regression", "-")]
    assert "regression: new: no baseline; record" in lines(profile, strict=True)


def new_call() -> Profile:
    return network(
        verdicts=(Verdict(regression(), NEW, None, 0.0, "no baseline", "share", remedy="record"),)
    )


# --- what it was compared with -----------------------------------------------------------------


def test_the_baseline_is_named_with_the_growth_and_the_reference_workload() -> None:
    comparison = Comparison(
        "0123abc 2024-05-01", 0.2, (0.15, 0.25), 0.1, 0.01, launches=3, fresh=6,
        differences=("+1 aten::copy_",), improved=("macs",),
    )  # fmt: skip
    message = lines(judged(network(comparison=comparison), p50="1 ms"))
    assert (
        "against the baseline of 0123abc 2024-05-01, p50 +20 % (+15 % to +25 %), reference "
        "workload +1 %, 3 recorded launches, 6 relaunches"
    ) in message
    assert "baseline is stale: less macs; accept with --hiddencost-update" in message
    assert "+1 aten::copy_" in message


def test_differences_that_are_the_reason_of_a_verdict_are_shown_once() -> None:
    comparison = Comparison("0123abc", differences=("+1 aten::copy_", "MACs unchanged"))
    calls = Verdict(regression("calls"), FAIL, 61, 60, "+1 aten::copy_; MACs unchanged", "calls")
    message = failure_message(network(comparison=comparison, verdicts=(calls,)))
    assert message.count("+1 aten::copy_") == 1


INTERLEAVED = InterleavedComparison(
    "main", "0123456789abcdef", 1.051, (1.039, 1.063), blocks=24, launches=5,
    differences=("+3 aten::clone",),
    operators=(
        OperatorChange("aten::clone", 0, 3, 0.0, 1.5 * MS),
        OperatorChange("outside", 0, 0, 2.0 * MS, 1.0 * MS),
    ),
)  # fmt: skip


def test_the_base_is_named_with_the_growth_and_the_operators_that_changed() -> None:
    profile = judged(network(interleaved=INTERLEAVED), p50="1 ms")
    message = lines(profile)
    assert (
        "against main (0123456789): p50 +5.1 % (+3.9 to +6.3 %), 24 blocks in turns, 5 pairs of "
        "processes"
    ) in message
    assert "+3 aten::clone" in message
    assert costs(profile)["Changed operators:"] == [
        {"operator": "aten::clone", "calls": "0 -> 3", "base": "0 ns", "head": "1.5 ms",
         "change": "+1.5 ms"},
        {"operator": "outside", "calls": "", "base": "2 ms", "head": "1 ms", "change": "-1 ms"},
    ]  # fmt: skip


def test_one_pair_is_in_the_singular() -> None:
    one = replace(INTERLEAVED, launches=1)
    assert "1 pair of processes" in failure_message(judged(network(interleaved=one), p50="1 ms"))


def test_a_base_that_was_not_measured_is_not_mentioned() -> None:
    unmeasured = InterleavedComparison("main", "0123456789abcdef")
    message = failure_message(judged(network(interleaved=unmeasured), p50="1 ms"))
    assert "main" not in message
    assert "Changed operators" not in message


# --- what it was spent on ----------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("p50",), ("p50", "p95", "p99")])
def test_a_slow_call_shows_where_its_latency_goes_once(keys: tuple[str, ...]) -> None:
    profile = judged(network(), **dict.fromkeys(keys, "1 ms"))
    ((title, rows),) = costs(profile).items()
    assert title == "Where the latency goes:"
    assert [row["operator"] for row in rows] == [
        "aten::mkldnn_convolution", "aten::native_batch_norm", "aten::cat", "aten::copy_",
        "outside", "aten::_convolution",
    ]  # fmt: skip
    assert sum(value(row["share"], "share") for row in rows) == pytest.approx(1, abs=0.01)


def test_figures_of_operators_are_the_stored_ones() -> None:
    profile = judged(network(), p50="1 ms")
    rows = [row for row in costs(profile)["Where the latency goes:"] if row["calls"]]
    for row, cost in zip(rows, profile.operators, strict=True):
        assert row["operator"] == cost.name
        assert int(row["calls"]) == cost.calls
        assert value(row["time"], "duration") == shown(cost.self_ns)
        assert value(row["share"], "share") == shown(cost.self_ns / 10e6)


def test_a_broken_key_shows_its_operators_alone() -> None:
    profile = judged(network(), operators={"aten::c*": "1%", "aten::cat": "1%"})
    tables = costs(profile)
    assert list(tables) == ["Time in aten::c*:", "Time in aten::cat:"]
    assert [row["operator"] for row in tables["Time in aten::c*:"]] == [
        "aten::cat", "aten::copy_",
    ]  # fmt: skip
    assert [row["operator"] for row in tables["Time in aten::cat:"]] == ["aten::cat"]


@pytest.mark.parametrize("budget", [{"non_mac": "1%"}, {"mac_rate": "1 TMAC/s"}])
def test_a_hidden_cost_is_spent_outside_mac_kernels(budget: dict[str, str]) -> None:
    rows = costs(judged(network(), **budget))["Time outside MAC kernels:"]
    assert "aten::mkldnn_convolution" not in [row["operator"] for row in rows]
    assert rows[0]["operator"] == "aten::native_batch_norm"


def test_the_mac_time_of_a_wrapper_is_not_spent_outside_mac_kernels() -> None:
    # 4 ms, of which 3 ms are a kernel the profiler cannot see: 1 ms was spent outside.
    wrapper = operator("aten::_convolution", 4 * MS, 2, macs=10**6, mac_share=0.75)
    profile = judged(profile_of(wrapper, operator("aten::cat", 2 * MS)), non_mac="1%")
    rows = costs(profile)["Time outside MAC kernels:"]
    assert [row["operator"] for row in rows] == ["outside", "aten::cat", "aten::_convolution"]
    assert value(rows[2]["time"], "duration") == shown(1 * MS)
    assert sum(value(row["share"], "share") for row in rows) == shown(profile.non_mac_share)


@pytest.mark.parametrize(("key", "spent_ns"), [("mac", 3 * MS), ("wrapper", 1 * MS)])
def test_a_group_shows_the_part_of_a_wrapper_that_belongs_to_it(key: str, spent_ns: float) -> None:
    wrapper = operator("aten::_convolution", 4 * MS, 2, mac_share=0.75)
    profile = judged(profile_of(wrapper), operators={key: "1%"})
    (row,) = costs(profile)[f"Time in {key}:"]
    assert profile.verdicts[0].measured == pytest.approx(spent_ns / 10e6)
    assert value(row["time"], "duration") == shown(spent_ns)


def test_time_outside_operators_is_spent_outside_mac_kernels() -> None:
    # Half of the latency is Python; no operator comes near it.
    profile = judged(
        profile_of(operator("aten::addmm", 4 * MS), operator("aten::cat", 1 * MS)), non_mac="1%"
    )
    rows = costs(profile)["Time outside MAC kernels:"]
    assert (rows[0]["operator"], rows[0]["calls"], rows[0]["inside"]) == (
        "outside", "", "no operator",
    )  # fmt: skip
    assert value(rows[0]["time"], "duration") == shown(5 * MS)


def test_too_many_macs_show_where_they_are() -> None:
    profile = profile_of(
        operator("aten::mkldnn_convolution", 1 * MS, 5, macs=9_000_000),
        operator("aten::addmm", 3 * MS, 1, macs=1_000_000),
        operator("aten::cat", 2 * MS),
    )
    rows = costs(judged(profile, macs="1 MMAC"))["Operators with MACs:"]
    assert [row["operator"] for row in rows] == ["aten::mkldnn_convolution", "aten::addmm"]
    assert [value(row["MACs"], "macs") for row in rows] == [9_000_000, 1_000_000]
    assert [(row["calls"], row["share"]) for row in rows] == [("5", "90 %"), ("1", "10 %")]


def test_macs_of_no_operator_have_no_table() -> None:
    assert costs(judged(network(operators=(), macs=30_000_000), macs="1 MMAC")) == {}


def test_too_much_memory_has_no_operators_to_show() -> None:
    assert costs(judged(network(), activation_memory="1 MiB")) == {}


def test_limits_that_hold_have_no_costs_to_show() -> None:
    profile = judged(network(), p50="20 ms", macs="1 MMAC")
    assert list(costs(profile)) == ["Operators with MACs:"]


def test_the_last_row_of_a_long_table_sums_up_the_rest() -> None:
    profile = judged(
        profile_of(*(operator(f"mylib::op{i}", (40 - i) * 10_000, i) for i in range(20))),
        p50="1 ms",
    )
    rows = costs(profile)["Where the latency goes:"]
    assert [row["operator"] for row in rows] == [
        "outside", *(f"mylib::op{i}" for i in range(7)), "13 more",
    ]  # fmt: skip
    assert sum(int(row["calls"] or 0) for row in rows) == sum(o.calls for o in profile.operators)
    assert sum(value(row["time"], "duration") for row in rows) == shown(10 * MS)
    assert sum(value(row["share"], "share") for row in rows) == pytest.approx(1, abs=0.01)


def test_the_message_is_plain_text_without_trailing_blank_lines() -> None:
    message = failure_message(judged(network(), p50="1 ms", non_mac="1%"))
    assert message == message.strip()
    assert "\x1b" not in message
    assert "\n\n\n" not in message
    assert read_table(message.split("\n\n")[1].splitlines())


# --- where it comes from -----------------------------------------------------------------------


def from_blocks(name: str, self_ns: float, calls: int, line: str, **more: Any) -> OperatorCost:
    call_sites = tuple(
        CallSiteCost(f"blocks.{i}.shuffle", line, calls // 4, self_ns / 4) for i in range(4)
    )
    return operator(name, self_ns, calls, call_sites=call_sites, **more)


def shuffled(**budget: Any) -> Profile:
    return judged(
        profile_of(
            operator("aten::mkldnn_convolution", 6 * MS, 20, macs=10**6),
            from_blocks("aten::copy_", 2 * MS, 24, "model.py:41"),
            from_blocks("aten::narrow", 0.2 * MS, 800, "model.py:39", below_resolution=True),
        ),
        **budget,
    )


def test_the_message_has_the_call_sites_of_the_cost() -> None:
    message = lines(shuffled(non_mac="10%"))
    assert "24 x aten::copy_ from blocks.*.shuffle, model.py:41 (2 ms)" in message
    assert "800 x aten::narrow from blocks.*.shuffle, model.py:39 (200 us)" in message


def test_only_call_sites_of_the_limits_operators_are_shown() -> None:
    message = lines(shuffled(operators={"view": "0.01 ms"}))
    assert [line for line in message if " from " in line] == [
        "800 x aten::narrow from blocks.*.shuffle, model.py:39 (200 us)"
    ]


def test_times_of_operators_below_resolution_are_marked() -> None:
    (rows,) = costs(shuffled(operators={"view": "0.01 ms"})).values()
    assert [(row["operator"], row["time"]) for row in rows] == [("aten::narrow", "~200 us")]


def test_without_call_sites_the_message_has_no_such_lines() -> None:
    assert not [line for line in lines(judged(network(), non_mac="10%")) if " from " in line]
