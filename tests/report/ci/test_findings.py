"""Findings: every check that failed or stayed open, on the line that costs it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_hiddencost.core.checks import INCONCLUSIVE
from pytest_hiddencost.core.records import CallSiteCost, Comparison
from pytest_hiddencost.report.ci.source_lines import SourceLine
from tests.profiles import MS, operator, profile_of
from tests.report.ci.reviewed import (
    TEST_LINE,
    called,
    copied,
    found_in,
    grown,
    run_of,
    slowed,
    slower,
)
from tests.report.printed import judged

NET = SourceLine("src/pkg/net.py", 12)


# --- the line that costs it ---------------------------------------------------------------------


def test_a_limit_on_an_operator_leads_to_the_line_that_calls_it() -> None:
    [found] = found_in(run_of(judged(called(), operators={"aten::cat": "3 calls"})))
    assert (found.level, found.source) == ("error", NET)
    assert found.headline == "operators[aten::cat] 12 calls, at most 3 calls"
    assert found.cause == "12 x aten::cat from blocks.1, pkg/net.py:12 (1 ms)"


def test_a_limit_on_a_group_leads_to_its_costliest_line() -> None:
    [found] = found_in(run_of(judged(called(), operators={"concatenation": "1%"})))
    assert found.source == NET


def test_a_limit_on_calls_leads_to_the_line_with_most_calls() -> None:
    few = CallSiteCost("head", "pkg/net.py:40", 2, 0.9 * MS)
    many = CallSiteCost("blocks", "pkg/net.py:12", 10, 0.1 * MS)
    profile = profile_of(operator("aten::cat", MS, 12, call_sites=[few, many]))
    [by_calls] = found_in(run_of(judged(profile, operators={"aten::cat": "3 calls"})))
    [by_time] = found_in(run_of(judged(profile, operators={"aten::cat": "1%"})))
    assert by_calls.source == NET
    assert by_time.source == SourceLine("src/pkg/net.py", 40)


@pytest.mark.parametrize(
    "limit", [{"p50": "1 ms"}, {"p99": "1 ms"}, {"activation_memory": "1 KiB"}]
)
def test_a_limit_that_no_operator_explains_leads_to_the_test(limit: dict[str, str]) -> None:
    [found] = found_in(run_of(judged(called(), **limit)))
    assert (found.source, found.cause) == (TEST_LINE, "")


@pytest.mark.parametrize("limit", [{"non_mac": "1%"}, {"mac_rate": "1 TMAC/s"}])
def test_hidden_costs_lead_to_the_test_if_the_largest_is_in_another_package(
    limit: dict[str, str],
) -> None:
    """A smaller cost in the repository would be the wrong line."""
    [found] = found_in(run_of(judged(called(), **limit)))
    assert found.source == TEST_LINE
    assert found.cause.splitlines() == [
        "20 x aten::native_batch_norm from blocks.1.norm, torchvision/ops/misc.py:99 (2 ms)",
        "12 x aten::cat from blocks.1, pkg/net.py:12 (1 ms)",
    ]


def test_hidden_costs_lead_to_the_line_of_the_largest() -> None:
    site = CallSiteCost("", "pkg/net.py:12", 12, 3 * MS)
    profile = profile_of(
        operator("aten::addmm", 6 * MS, macs=10**6),
        operator("aten::cat", 3 * MS, call_sites=[site]),
    )
    [found] = found_in(run_of(judged(profile, non_mac="1%")))
    assert found.source == NET


def test_time_outside_operators_has_no_line() -> None:
    site = CallSiteCost("", "pkg/net.py:12", 12, 1 * MS)
    profile = profile_of(operator("aten::cat", 1 * MS, call_sites=[site]))
    [found] = found_in(run_of(judged(profile, non_mac="1%")))
    assert found.source == TEST_LINE
    assert found.cause.startswith("9 ms outside\n")


def test_a_limit_on_macs_leads_to_the_line_of_most_macs() -> None:
    small = operator(
        "aten::addmm", MS, macs=10, call_sites=[CallSiteCost("", "pkg/net.py:1", 1, MS)]
    )
    large = operator("aten::mm", MS, macs=99, call_sites=[CallSiteCost("", "pkg/net.py:12", 1, MS)])
    [found] = found_in(run_of(judged(profile_of(small, large), macs="5 MAC")))
    assert found.source == NET


def test_a_limit_that_checks_nothing_gives_the_reason() -> None:
    [found] = found_in(run_of(judged(called(), operators={"pooling": "5%"})))
    assert found.source == TEST_LINE
    assert "'pooling' matches no operator of this call" in found.cause


# --- growth -------------------------------------------------------------------------------------


def test_added_calls_lead_to_each_line_that_makes_them() -> None:
    found = found_in(run_of(copied()))
    assert [(finding.source, finding.cause) for finding in found] == [
        (
            SourceLine("src/pkg/net.py", 12),
            "+3 aten::copy_, +3 aten::clone from blocks.*, pkg/net.py:12",
        ),
        (SourceLine("src/pkg/net.py", 30), "+1 aten::cat from head, pkg/net.py:30"),
        (TEST_LINE, "+1 aten::empty"),
    ]
    assert len({finding.identity for finding in found}) == 3


def test_a_slower_call_leads_to_the_operator_that_grew_most() -> None:
    [found] = found_in(run_of(slowed()))
    assert found.source == NET
    assert found.cause.splitlines() == [
        "+800 us aten::cat, most of it from blocks.1, pkg/net.py:12",
        "+100 us outside",
    ]


def test_growth_that_no_operator_explains_leads_to_the_test() -> None:
    slow = replace(called(comparison=Comparison("1a2b")), verdicts=(slower(),))
    [found] = found_in(run_of(slow))
    assert (found.source, found.cause) == (TEST_LINE, slower().explanation)
    more = grown("allocated_bytes", 2048.0, 1024.0, unit="bytes", reason="allocated bytes +1 KiB")
    [found] = found_in(run_of(replace(called(), verdicts=(more,))))
    assert (found.source, found.cause) == (TEST_LINE, "allocated bytes +1 KiB")


def test_more_bytes_lead_to_the_line_that_added_calls() -> None:
    more = grown("allocated_bytes", 2048.0, 1024.0, unit="bytes", reason="allocated bytes +1 KiB")
    [found] = found_in(run_of(replace(copied(), verdicts=(more,))))
    assert (found.source, found.cause) == (NET, "allocated bytes +1 KiB")


# --- which findings there are, and their order --------------------------------------------------


def test_an_inconclusive_check_is_a_warning_and_strictly_an_error() -> None:
    profile = replace(called(), verdicts=(slower(INCONCLUSIVE),))
    [found] = found_in(run_of(profile))
    assert (found.level, found.source) == ("warning", TEST_LINE)
    assert found.cause == slower().explanation
    [strict] = found_in(run_of(profile, failed=[profile.test], strict=True))
    assert strict.level == "error"


def test_strictly_a_stale_baseline_is_an_error() -> None:
    profile = called(comparison=Comparison("1a2b", improved=("p50",)))
    assert found_in(run_of(profile)) == []
    [found] = found_in(run_of(profile, failed=[profile.test], strict=True))
    assert found.headline.startswith("baseline is stale: less p50")


def test_a_limit_that_was_expected_to_break_is_no_finding() -> None:
    profile = judged(called(), p50="1 ms")
    assert found_in(run_of(profile, failed=[])) == []


def test_a_test_that_failed_otherwise_is_one_finding() -> None:
    run = run_of(judged(called(), p50="20 ms"), failed=["test_models.py::test_it", "other"])
    assert [(f.test, f.headline, f.of_call) for f in found_in(run)] == [
        ("test_models.py::test_it", "a limit is broken", False),
        ("other", "a limit is broken", False),
    ]


def test_the_most_important_comes_first() -> None:
    limits = judged(called(test="a"), p50="9 ms", p95="1 ms", operators={"aten::cat": "3 calls"})
    unsure = replace(called(test="b"), verdicts=(slower(INCONCLUSIVE),))
    slow, copies = replace(slowed(), test="c"), replace(copied(), test="d")
    found = found_in(run_of(unsure, limits, slow, copies, failed=["a", "c", "d", "e"]))
    assert [(f.test, f.check) for f in found] == [
        ("d", "regression[calls]"),
        ("d", "regression[calls]"),
        ("d", "regression[calls]"),
        ("c", "regression[p50]"),
        ("a", "operators[aten::cat]"),
        ("a", "p95"),
        ("a", "p50"),
        ("e", "test"),
        ("b", "regression[p50]"),
    ]


def test_an_empty_run_has_no_findings() -> None:
    assert found_in(run_of()) == []
