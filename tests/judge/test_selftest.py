"""The result of a selftest: caught, missed, or unable to detect so small a slowdown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS, Outcome, regression
from pytest_hiddencost.core.records import (
    Comparison,
    InterleavedComparison,
    Profile,
    Verdict,
)
from pytest_hiddencost.core.tolerances import STRUCTURE
from pytest_hiddencost.judge.selftest import (
    CAUGHT,
    MISSED,
    POWERLESS,
    structure_result,
    time_result,
)
from tests.profiles import limit_on, network

INJECTED = 0.5
POWERFUL = Comparison("0123abc", smallest_growth=0.3, reference_growth=0.01)


def judged(*verdicts: tuple[str, Outcome], comparison: Comparison | None = POWERFUL) -> Profile:
    found = tuple(
        Verdict(regression(key), outcome, 0.1, 0.05, "found", "share", remedy="do it")
        for key, outcome in verdicts
    )
    return network(verdicts=found, comparison=comparison, label="b1")


@pytest.mark.parametrize("key", STRUCTURE)
def test_injected_copies_are_caught_by_any_check_of_the_structure(key: str) -> None:
    found = structure_result(judged((key, FAIL), ("p50", PASS)), "copies")
    assert (found.result, found.why) == (CAUGHT, "")
    assert (found.test, found.label, found.injection) == ("test_models.py::test_it", "b1", "copies")


def test_injected_copies_that_no_check_of_the_structure_notices_are_missed() -> None:
    found = structure_result(judged(("calls", PASS), ("p50", FAIL)), "copies")
    assert (found.result, found.why) == (MISSED, "no check of the structure failed")


@pytest.mark.parametrize("key", ["p50", "non_mac"])
def test_an_injected_slowdown_is_caught_by_the_time_of_the_call(key: str) -> None:
    assert time_result(judged((key, FAIL)), "slow", INJECTED).result == CAUGHT


def test_a_limit_that_fails_is_no_catch() -> None:
    profile = judged(("p50", INCONCLUSIVE))
    broken = Verdict(limit_on("p50"), FAIL, 2.0, 1.0)
    profile = replace(profile, verdicts=(broken, *profile.verdicts))
    assert time_result(profile, "slow", INJECTED).result == MISSED


def test_a_slowdown_that_the_run_could_have_detected_is_missed() -> None:
    found = time_result(judged(("p50", PASS), ("non_mac", INCONCLUSIVE)), "slow", INJECTED)
    assert (found.result, found.why) == (MISSED, "found; do it")


@pytest.mark.parametrize(
    "comparison",
    [
        None,
        replace(POWERFUL, smallest_growth=None),
        replace(POWERFUL, smallest_growth=0.6),
        replace(POWERFUL, reference_growth=None),
        replace(POWERFUL, reference_growth=-0.3),
    ],
)
def test_a_slowdown_that_the_run_could_not_have_detected_is_not_missed(
    comparison: Comparison | None,
) -> None:
    profile = judged(("p50", INCONCLUSIVE), comparison=comparison)
    found = time_result(profile, "slow", INJECTED)
    assert (found.result, found.why) == (POWERLESS, "found; do it")


def test_without_a_baseline_nothing_can_be_detected() -> None:
    found = time_result(judged(comparison=None), "slow", INJECTED)
    assert (found.result, found.why) == (POWERLESS, "no baseline")


def interleaved(p50: Outcome, non_mac: Outcome = PASS) -> Profile:
    """A profile whose times were compared with the accepted commit's, in turns."""
    profile = judged(("p50", p50), ("non_mac", non_mac), comparison=None)
    return replace(profile, interleaved=InterleavedComparison("main", ratio=1.1))


@pytest.mark.parametrize(
    ("profile", "result"),
    [
        (interleaved(FAIL), CAUGHT),
        (interleaved(INCONCLUSIVE, FAIL), CAUGHT),
        (interleaved(PASS), MISSED),
        (interleaved(PASS, INCONCLUSIVE), MISSED),
        (interleaved(INCONCLUSIVE), POWERLESS),
        (interleaved(INCONCLUSIVE, PASS), POWERLESS),
    ],
)
def test_a_slowdown_measured_in_turns_is_missed_only_if_the_latency_passes(
    profile: Profile, result: str
) -> None:
    assert time_result(profile, "slow", INJECTED).result == result


def test_an_open_energy_is_no_reason_of_a_slowdown_that_was_missed() -> None:
    """Calls with an injected regression have no energy measured."""
    profile = judged(("energy", INCONCLUSIVE), ("p50", INCONCLUSIVE))
    first, last = profile.verdicts
    profile = replace(profile, verdicts=(replace(first, reason="no energy"), last))
    assert time_result(profile, "slow", INJECTED).why == "found; do it"
