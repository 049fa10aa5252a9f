"""The terminal summary: the stored figures, in columns that fit, with the verdicts in colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import (
    FAIL,
    INCONCLUSIVE,
    LIMIT,
    NEW,
    PASS,
    Check,
    Outcome,
    regression,
)
from pytest_hiddencost.core.records import (
    Comparison,
    DeviceHealth,
    InterleavedComparison,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.report.terminal import change, largest_hidden_cost, title, verdict_of
from tests.judge.filled_reasons import FILLED
from tests.profiles import (
    DEVICE,
    MS,
    limit_on,
    network,
    operator,
    patient,
    profile_of,
    read_table,
    read_tables,
    samples_around,
)
from tests.report.printed import quiet_summary, shown, summary, value


def with_verdicts(*verdicts: Outcome, **changes: Any) -> Profile:
    """A profile with these verdicts, each on a limit of its own."""
    found = tuple(
        Verdict(limit_on(f"limit{i}"), v, 1.0, 2.0, "why", remedy="do it")
        for i, v in enumerate(verdicts)
    )
    return network(verdicts=found, **changes)


def cell(row: dict[str, str], name: str, kind: Kind) -> float:
    """A number of the column of this name, in the unit its header gives."""
    (header,) = (header for header in row if header.startswith(name))
    return value(f"{row[header]} {header.removeprefix(name)}", kind)


def macs_of(row: dict[str, str], suffix: str, kind: Kind) -> float:
    """A number of the column whose header is its unit alone."""
    (unit,) = (header for header in row if header.endswith(suffix) and header != "non-MAC")
    return value(f"{row[unit]} {unit}", kind)


# --- the rows ----------------------------------------------------------------------------------


def test_the_section_has_a_row_per_profile_in_their_order() -> None:
    reporter = summary(network(test="a.py::test_a"), network(test="a.py::test_b", label="b1"))
    assert reporter.title == "hidden costs"
    assert [row["test"] for row in read_table(reporter.lines)] == [
        "a.py::test_a",
        "a.py::test_b b1",
    ]


def test_a_row_as_it_looks() -> None:
    (row,) = read_table(summary(with_verdicts(PASS)).lines)
    assert row == {
        "test": "test_models.py::test_it",
        "p50 ms": "10",
        "p95 ms": "10.5",
        "MMAC": "30",
        "GMAC/s": "3",
        "non-MAC": "40 %",
        "largest hidden cost": "native_batch_norm 20 %",
        "peak MiB": "24",
        "verdict": "pass",
    }


@st.composite
def measured(draw: st.DrawFn) -> Profile:
    latency_ns = draw(st.integers(1_000, 10**10))
    share = draw(st.floats(0.001, 0.999))
    kernel = operator("aten::addmm", latency_ns * share, macs=draw(st.integers(1, 10**11)))
    return profile_of(
        kernel,
        samples_ns=samples_around(latency_ns, 50, spread=0.3),
        activation_peak_bytes=draw(st.none() | st.integers(1, 10**10)),
    )


@patient
@given(st.lists(measured(), min_size=1, max_size=5))
def test_every_figure_printed_is_the_one_stored(profiles: list[Profile]) -> None:
    rows = read_table(summary(*profiles).lines)
    for row, profile in zip(rows, profiles, strict=True):
        assert cell(row, "p50", "duration") == shown(profile.latency.median_ns)
        assert cell(row, "p95", "duration") == shown(profile.latency.p95_ns)
        assert value(row["non-MAC"], "share") == shown(profile.non_mac_share)
        assert macs_of(row, "MAC/s", "mac_rate") == shown(profile.mac_rate)
        assert macs_of(row, "MAC", "macs") == pytest.approx(profile.macs, rel=0.0051, abs=1)
        if profile.activation_peak_bytes is None:
            assert row[next(h for h in row if h.startswith("peak"))] == "-"
        else:
            assert cell(row, "peak", "bytes") == pytest.approx(
                profile.activation_peak_bytes, rel=0.0051, abs=1
            )
        share = row["largest hidden cost"].removeprefix("outside ")
        assert value(share, "share") == shown(profile.outside_ns / profile.latency.median_ns)


def test_waiting_for_the_host_can_be_the_largest_hidden_cost() -> None:
    launch_bound = profile_of(operator("aten::addmm", 2 * MS), waiting_for_host_ns=7.0 * MS)
    (row,) = read_table(summary(launch_bound).lines)
    assert row["largest hidden cost"] == "waiting for the host 70 %"


def test_one_unit_for_a_whole_column() -> None:
    slow = profile_of(operator("aten::addmm", 6 * MS), latency_ns=2_000 * MS)
    rows = read_table(summary(network(), network(), slow).lines)
    assert [row["p50 ms"] for row in rows] == ["10", "10", "2000"]


def test_the_unit_of_a_column_suits_most_of_it_not_the_first() -> None:
    fast = profile_of(operator("aten::addmm", 6_000, macs=30_000), latency_ns=10_000)
    rows = read_table(summary(fast, network(), network()).lines)
    assert [row["p50 ms"] for row in rows] == ["0.01", "10", "10"]
    assert [row["MMAC"] for row in rows] == ["0.03", "30", "30"]


def test_an_unknown_figure_is_a_dash() -> None:
    (row,) = read_table(summary(network(activation_peak_bytes=None)).lines)
    assert next(value for header, value in row.items() if header.startswith("peak")) == "-"
    assert row["verdict"] == "-"


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ((), None),
        ((PASS, PASS), PASS),
        ((PASS, NEW), PASS),
        ((NEW, INCONCLUSIVE, PASS), INCONCLUSIVE),
        ((PASS, FAIL, INCONCLUSIVE, NEW), FAIL),
    ],
)
def test_a_profile_has_its_worst_verdict(
    verdicts: tuple[Outcome, ...], worst: Outcome | None
) -> None:
    profile = with_verdicts(*verdicts)
    assert verdict_of(profile) == worst
    rows = read_tables([*summary(profile).lines[:4], ""])[0]
    assert rows[0]["verdict"] == (worst or "-")


def test_a_title_is_the_test_and_its_label() -> None:
    assert title(network()) == "test_models.py::test_it"
    assert title(network(label="b 1")) == "test_models.py::test_it b 1"


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (network(), "native_batch_norm 20 %"),
        (profile_of(operator("aten::addmm", 4 * MS), operator("aten::cat", MS)), "outside 50 %"),
        (profile_of(operator("aten::_convolution", 8 * MS, mac_share=0.75),
                    operator("aten::cat", 1.5 * MS)), "_convolution 20 %"),
        (profile_of(operator("aten::_convolution", 8 * MS, mac_share=0.9),
                    operator("aten::cat", 1.5 * MS)), "cat 15 %"),
        (profile_of(operator("mylib::fused", 8 * MS)), "mylib::fused 80 %"),
        (profile_of(), "outside 100 %"),
    ],
)  # fmt: skip
def test_the_largest_hidden_cost_is_no_mac_time(profile: Profile, expected: str) -> None:
    assert largest_hidden_cost(profile) == expected


# --- width -------------------------------------------------------------------------------------


def narrow_rows(lines: Sequence[str]) -> list[dict[str, str]]:
    """The figures under each test's line, by header; those lines have the same columns."""
    start = next(i for i, line in enumerate(lines) if line.startswith("  p50"))
    figures = [line for line in lines[start:] if line.startswith("  ")]
    tests = [line for line in lines[start:] if not line.startswith("  ")]
    width = max(map(len, figures))
    ink = [any(line.ljust(width)[i] != " " for line in figures) for i in range(width)]
    columns = re.finditer("1(?:0?1)*", "".join("01"[inked] for inked in ink))
    spans = [match.span() for match in columns]
    head, *rows = ([line[start:end].strip() for start, end in spans] for line in figures)
    return [
        {"test": test.rsplit("  ", 1)[0], **dict(zip(head, row, strict=True)),
         "verdict": test.rsplit("  ", 1)[1]}
        for test, row in zip(tests, rows, strict=True)
    ]  # fmt: skip


LONG = ("aten::_native_batch_norm_legit_no_training", "mylib::" + "very_" * 9)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("hidden", "verdict"),
    [*(("aten::native_batch_norm", verdict) for verdict in (PASS, FAIL, INCONCLUSIVE, NEW)),
     *((name, INCONCLUSIVE) for name in LONG)],
)  # fmt: skip
def test_rows_fit_the_terminal(width: int, hidden: str, verdict: Outcome) -> None:
    profile = profile_of(
        operator("aten::mkldnn_convolution", 60.3 * MS, macs=999_000_000),
        operator(hidden, 35.2 * MS),
        latency_ns=100 * MS,
        test="tests/test_models.py::test_reference_model[MobileNet]",
        verdicts=(Verdict(limit_on("p50"), verdict, 1.0, 2.0, "why", remedy="do it"),),
        activation_peak_bytes=1023 * 2**20,
    )
    lines = summary(profile, width=width).lines
    assert max(map(len, lines)) <= width, max(lines, key=len)


@pytest.mark.parametrize("name", LONG)
def test_a_long_name_is_cut_but_can_still_be_recognised(name: str) -> None:
    shown_as = largest_hidden_cost(profile_of(operator(name, 8 * MS)))
    start, end = shown_as.split("..")
    assert name.removeprefix("aten::").startswith(start)
    assert len(start) >= 15
    assert end == " 80 %"


def test_a_wide_terminal_has_one_line_per_profile() -> None:
    lines = summary(network(), network(), width=120).lines
    assert sum("test_it" in line for line in lines) == 2
    assert all("native_batch_norm" in line for line in lines if "test_it" in line)


@pytest.mark.parametrize("verdict", [PASS, FAIL])
def test_a_narrow_terminal_has_the_same_figures_under_each_test(verdict: Outcome) -> None:
    profiles = [network(label="a"), with_verdicts(verdict, label="b", mac_rate=4e10)]
    wide = read_table(summary(*profiles, width=200).lines)
    assert narrow_rows(summary(*profiles, width=90).lines) == wide
    assert [row["verdict"] for row in wide] == ["-", verdict]


def test_the_widest_line_that_fits_is_not_broken() -> None:
    width = max(map(len, summary(network()).lines))
    assert summary(network(), width=width).lines == summary(network()).lines
    assert summary(network(), width=width - 1).lines != summary(network()).lines


def test_no_line_ends_in_blanks() -> None:
    for width in (80, 200):
        lines = summary(network(), with_verdicts(PASS), width=width, verbosity=2).lines
        assert [line for line in lines if line != line.rstrip()] == []


# --- long reasons ------------------------------------------------------------------------------

LONG_ID = "tests/very/deep/folders/test_models.py::TestReference::test_model[" + "Net-" * 10 + "8]"


def open_check(name: str, test: str) -> Profile:
    """A profile whose verdict is open for one reason, on checks with long names."""
    reason = FILLED[name]
    keys = ("p50", "non_mac", "allocated_bytes", "activation_memory", "macs")
    outcome: Outcome = NEW if name in ("NO_BASELINE", "RECORDED_ELSEWHERE") else INCONCLUSIVE
    checks = [regression()] if outcome == NEW else [regression(key) for key in keys]
    verdicts = tuple(
        Verdict(check, outcome, None, 0.05, reason.found, "share", remedy=reason.remedy)
        for check in checks
    )
    return network(test=test, label="batch 32", verdicts=verdicts)


def troubled(test: str) -> list[Profile]:
    """Profiles with every reason, and everything else that the summary has a line for."""
    hot = DeviceHealth(
        False,
        ("cpu0 was throttled 12 times while measured", "load of 3.1 on 2 usable cores"),
        ("the governor of cpu0 to cpu3 is ondemand: clocks follow the load, and need a while",),
        remedies=("cool the device or lower its clock", "end other processes before measuring"),
    )
    imported = "conftest.py, src/company/models, src/company/layers, tests/helpers.py and 3 more"
    against = InterleavedComparison(
        "feature/a-rather-long-branch-name", "0123456789abcdef", 1.0123, (0.99, 1.0349),
        0.98, (0.9, 1.1), imported=(imported, f"old_{imported}"),
    )  # fmt: skip
    stale = Comparison("0123abc", improved=("aten::native_batch_norm", "calls", "macs", "p50"))
    return [
        *(open_check(name, test) for name in FILLED),
        network(test=test, health=hot),
        network(test=test, interleaved=against),
        network(test=test, comparison=stale, structure_varies=True),
        network(test=test, uncosted=tuple(f"mylib::fused_operator_{i}" for i in range(8))),
    ]


def test_no_line_is_wider_than_the_terminal() -> None:
    device = replace(
        DEVICE, model="Some Board with a Quite Descriptive Name, Revision 1.2 (Development Kit)",
        torch="2.13.0a0+git0123456789abcdef",
    )  # fmt: skip
    short = "tests/test_models.py::test_reference_model[MobileNet]"
    lines = summary(*troubled(short), width=100, device=device).lines
    assert [line for line in lines if len(line) > 100] == []


def test_details_wrap_as_well() -> None:
    lines = summary(network(), width=100, verbosity=2).lines
    assert any(line.startswith("profiler: ") for line in lines)
    assert [line for line in lines if len(line) > 100] == []


def test_on_a_narrow_terminal_only_a_word_that_cannot_be_broken_is_wider() -> None:
    lines = summary(*troubled(LONG_ID), width=80).lines
    too_wide = [line for line in lines if len(line) > 80]
    assert too_wide
    assert all(LONG_ID in line for line in too_wide)
    remarks = [line for line in too_wide if not line.endswith(("  inconclusive", "  new", "  -"))]
    assert all(len(line.split()) == 1 for line in remarks), "a long id stands alone"


@pytest.mark.parametrize("width", [60, 80, 100])
def test_wrapping_loses_no_word(width: int) -> None:
    profiles = troubled("test_models.py::test_it")
    narrow = summary(*profiles, width=width).text
    for name, reason in FILLED.items():
        words = " ".join(f"{reason.found}; {reason.remedy}".split())
        assert words in narrow, name


def test_continued_lines_are_indented() -> None:
    lines = summary(open_check("TOO_SPREAD", "test_models.py::test_it"), width=60).lines
    start = next(i for i, line in enumerate(lines) if "test_it batch 32: " in line)
    assert all(line.startswith("  ") for line in lines[start + 1 :])
    assert len(lines) > start + 2


# --- against a baseline ------------------------------------------------------------------------


def test_a_change_against_a_baseline_has_the_growth_that_could_be_detected() -> None:
    comparison = Comparison("0123abc", growth=0.012, smallest_growth=0.14)
    calls = Verdict(regression("calls"), PASS, 58, 60, unit="calls")
    assert change(network(comparison=comparison)) == "p50 +1.2 %, detects +14 %"
    assert change(network(comparison=comparison, verdicts=(calls,))) == (
        "-2 calls, p50 +1.2 %, detects +14 %"
    )
    assert change(network(comparison=Comparison("0123abc"))) == ""
    assert change(network()) == ""


def test_a_stale_baseline_is_a_remark() -> None:
    lines = summary(network(comparison=Comparison("0123abc", improved=("calls",)))).lines
    assert (
        "test_models.py::test_it: baseline is stale: less calls; accept with --hiddencost-update"
    ) in lines


# --- against another revision --------------------------------------------------------------------

AGAINST = InterleavedComparison(
    "main",
    ratio=1.0123,
    interval=(0.99, 1.0349),
    non_mac_ratio=0.98,
    non_mac_interval=(0.9, 1.1),
)
P50 = "p50 +1.2 % (-1.0 to +3.5 %)"
NON_MAC = "non-MAC -2.0 % (-10.0 to +10.0 %)"


def against(found: InterleavedComparison = AGAINST, calls: int = 60) -> Profile:
    verdicts = (Verdict(regression("calls"), PASS, calls, 60, unit="calls"),)
    return network(interleaved=found, verdicts=verdicts)


def test_a_change_is_shown_with_its_interval() -> None:
    assert change(against()) == f"{P50}, {NON_MAC}"
    assert change(against(calls=72)) == f"+12 calls, {P50}, {NON_MAC}"


def growth(verdict: Outcome) -> Verdict:
    return Verdict(regression("p50"), verdict, 0.012, 0.05, unit="share")


def test_a_change_is_shown_beside_the_growth_that_is_allowed() -> None:
    assert change(network(interleaved=AGAINST, verdicts=(growth(FAIL),))) == (
        f"{P50}, at most +5 %, {NON_MAC}"
    )


@pytest.mark.parametrize("budget", [FAIL, INCONCLUSIVE])
def test_a_comparison_that_passes_says_so_beside_another_verdict(budget: Outcome) -> None:
    limit = Verdict(Check(LIMIT, "p50"), budget, 9e6, 8e6, reason="r", remedy="x")
    found = change(network(interleaved=AGAINST, verdicts=(limit, growth(PASS))))
    assert found == f"no regression, {P50}, at most +5 %, {NON_MAC}"
    assert change(network(interleaved=AGAINST, verdicts=(limit,))) == f"{P50}, {NON_MAC}"
    alone = change(network(interleaved=AGAINST, verdicts=(growth(PASS),)))
    assert alone == f"{P50}, at most +5 %, {NON_MAC}"


def test_a_change_that_was_not_measured_is_not_shown() -> None:
    without = replace(AGAINST, non_mac_ratio=None, non_mac_interval=None)
    assert change(against(without)) == P50
    assert change(against(InterleavedComparison("main"))) == ""


@pytest.mark.parametrize("width", [80, 120])
def test_a_change_is_behind_the_verdict_where_there_is_room(width: int) -> None:
    profile = against(calls=72)
    lines = summary(profile, width=width).lines
    assert max(map(len, lines)) <= width
    place = next(i for i, line in enumerate(lines) if line.startswith("test_models.py::test_it "))
    assert lines[place].endswith("  pass")
    assert lines[place + 1] == f"  {change(profile)}"
    wide = summary(profile, width=250).lines
    assert sum(line.endswith(f"  pass  {change(profile)}") for line in wide) == 1


def test_the_longest_change_that_fits_stays_on_its_line() -> None:
    wide = summary(against(), width=250).lines
    width = max(map(len, wide))
    assert summary(against(), width=width).lines == wide
    assert len(summary(against(), width=width - 1).lines) == len(wide) + 1


@pytest.mark.parametrize(
    ("imported", "text"),
    [
        (("net.py", "net.py"), "head and base each import their own net.py"),
        (("net.py", "old_net.py"), "head imports net.py, base imports old_net.py"),
    ],
)
def test_the_imports_of_both_sides_are_shown_once(imported: tuple[str, str], text: str) -> None:
    found = replace(AGAINST, commit="0123456789abcdef", imported=imported)
    lines = summary(against(found), against(found)).lines
    assert lines.count(f"against main (0123456789): {text}") == 1


# --- colour ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize(
    ("verdict", "color"), [(PASS, "green"), (FAIL, "red"), (NEW, "cyan"), (INCONCLUSIVE, "yellow")]
)
def test_in_a_row_the_verdict_alone_is_coloured(verdict: Outcome, color: str, width: int) -> None:
    # A test may be called like its verdict.
    reporter = summary(with_verdicts(verdict, test=f"test_{verdict}"), width=width)
    assert reporter.coloured()[0] == (verdict, color)
    remarks = reporter.coloured()[1:]
    expected = {
        INCONCLUSIVE: f"test_{verdict}: limit0 inconclusive: why; do it",
        NEW: f"new (1): test_{NEW}: why; do it",
    }
    assert remarks == ([(expected[verdict], "yellow")] if verdict in expected else [])
    (row,) = [line for line in reporter.lines if line.startswith(f"test_{verdict} ")]
    assert row.endswith(f"  {verdict}")
    assert sum("native_batch_norm 20 %" in line for line in reporter.lines) == 1


def test_a_row_without_a_verdict_has_no_colour() -> None:
    assert summary(network(), verbosity=2).coloured() == []


# --- what stands around the rows ---------------------------------------------------------------


def test_the_first_line_is_the_device() -> None:
    line = summary(network()).lines[0]
    assert line == "cpu: Some Board, 4 cores, 2 threads, torch 2.13.0"
    one = replace(DEVICE, threads=1)
    assert "4 cores, 1 thread, torch" in summary(network(), device=one).lines[0]


def test_without_a_device_the_rows_come_at_once() -> None:
    assert summary(network(), device=None).lines[0].startswith("test")


def test_an_unfit_device_has_its_reasons_its_remedies_and_the_number_of_calls() -> None:
    health = DeviceHealth(False, ("throttled during the run",), remedies=("cool the device",))
    hot = network(health=health)
    lines = summary(network(), hot, hot).lines
    assert "unfit for timing (2 of 3): throttled during the run; cool the device" in lines
    assert not any("unfit" in line for line in summary(network()).lines)


def test_remarks_on_the_device_are_shown_once() -> None:
    warm = network(health=DeviceHealth(True, remarks=("warm", "governor powersave")))
    lines = summary(warm, warm).lines
    assert [line for line in lines if line.startswith("remark: ")] == [
        "remark: warm", "remark: governor powersave",
    ]  # fmt: skip


def test_vv_names_what_is_unknown_on_the_device() -> None:
    bare = network(health=DeviceHealth(True, unknown=("throttling", "power")))
    assert "unknown on this device: throttling, power" in summary(bare, verbosity=2).lines
    assert not any("unknown" in line for line in summary(bare, verbosity=1).lines)


def test_an_open_limit_has_its_reason_and_its_remedy_once_for_all_that_share_them() -> None:
    def verdict(key: str, reason: str, outcome: Outcome = INCONCLUSIVE) -> Verdict:
        return Verdict(limit_on(key), outcome, 1.0, 1.0, reason, remedy="measure longer")

    profile = network(
        verdicts=(
            verdict("p50", "straddles"),
            verdict("p99", "too few samples"),
            verdict("non_mac", "straddles"),
            Verdict(limit_on("macs"), PASS, 1.0, 1.0),
        )
    )
    lines = summary(profile).lines
    assert (
        "test_models.py::test_it: p50, non_mac inconclusive: straddles; measure longer"
    ) in lines
    assert "test_models.py::test_it: p99 inconclusive: too few samples; measure longer" in lines
    assert not any("macs" in line for line in lines)


def test_new_calls_are_listed_by_reason() -> None:
    def new(label: str, reason: str) -> Profile:
        verdict = Verdict(regression(), NEW, None, 0.0, reason, "share", remedy="record it")
        return network(test="test_it", label=label, verdicts=(verdict,))

    profiles = [new(label, "no baseline") for label in "abcdef"] + [new("g", "not in main")]
    lines = summary(*profiles).lines
    assert (
        "new (6): test_it a, test_it b, test_it c, test_it d and 2 more: no baseline; record it"
    ) in lines
    assert "new (1): test_it g: not in main; record it" in lines


def test_a_structure_that_varies_is_a_remark() -> None:
    lines = summary(network(structure_varies=True, label="b1")).lines
    assert "test_models.py::test_it b1: the structure varies from call to call" in lines


def test_work_out_of_sight_is_a_remark() -> None:
    lines = summary(network(unseen_ns=90_000)).lines
    assert (
        "test_models.py::test_it: 90 us of CPU time of each call ran unseen, in other threads or "
        "processes"
    ) in lines


def test_operators_without_a_formula_are_a_remark() -> None:
    lines = summary(network(uncosted=("mylib::gemm", "mylib::conv"))).lines
    assert "test_models.py::test_it: no MAC formula for mylib::gemm, mylib::conv" in lines


# --- verbosity ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verdicts", [(), (PASS,), (FAIL,), (PASS, FAIL, INCONCLUSIVE)])
def test_quiet_shows_nothing_where_nothing_is_open_new_or_unused(
    verdicts: tuple[Outcome, ...],
) -> None:
    """A failed test has a message of its own."""
    quiet = quiet_summary(with_verdicts(*verdicts))
    assert (quiet.title, quiet.lines) == ("", [])


def test_quiet_counts_what_is_inconclusive_new_and_unused_in_one_line() -> None:
    profiles = [
        with_verdicts(INCONCLUSIVE, INCONCLUSIVE, label="a"),
        with_verdicts(PASS, NEW, label="b"),
        with_verdicts(INCONCLUSIVE, NEW, label="c"),
        with_verdicts(PASS, label="d"),
    ]
    quiet = quiet_summary(*profiles, unused=4)
    assert quiet.title == ""
    assert quiet.lines == [
        "hiddencost: 2 inconclusive, 2 new, 4 unused; run without -q to see which"
    ]
    assert [color for _, color in quiet.coloured()] == ["yellow"]


@pytest.mark.parametrize(
    ("profile", "unused", "text"),
    [
        (with_verdicts(INCONCLUSIVE), 0, "1 inconclusive"),
        (with_verdicts(NEW), 0, "1 new"),
        (with_verdicts(PASS), 1, "1 unused"),
    ],
)
def test_quiet_leaves_out_counts_of_nothing(profile: Profile, unused: int, text: str) -> None:
    quiet = quiet_summary(profile, unused=unused)
    assert quiet.lines == [f"hiddencost: {text}; run without -q to see which"]
