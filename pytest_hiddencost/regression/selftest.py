"""Whether the gate notices what was planted: the verdict on the gate itself."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_hiddencost.records import FAIL, Profile
from pytest_hiddencost.regression.structure import STRUCTURE_GATES

CAUGHT, MISSED, POWERLESS = "caught", "missed", "no power"


@dataclass(frozen=True)
class SelfTest:
    """One plant in one call: ``result`` is CAUGHT, MISSED or POWERLESS, ``why`` the reason."""

    test: str
    label: str
    plant: str
    result: str
    why: str = ""


def structure_result(profile: Profile, plant: str) -> SelfTest:
    """Of a judged profile with operators planted: structure is exact, so it must be caught."""
    caught = any(v.verdict == FAIL and v.gate in STRUCTURE_GATES for v in profile.verdicts)
    why = "" if caught else "the structure gates did not fail"
    return SelfTest(profile.test, profile.label, plant, CAUGHT if caught else MISSED, why)


def time_result(profile: Profile, plant: str, planted_share: float) -> SelfTest:
    """Of a judged profile that is slower: missed where the run had the power to see as much."""
    timed = [v for v in profile.verdicts if v.gate in ("regression[p50]", "regression[non_mac]")]
    visible = None if profile.comparison is None else profile.comparison.smallest_growth
    control = None if profile.comparison is None else profile.comparison.control_growth
    if any(verdict.verdict == FAIL for verdict in timed):
        return SelfTest(profile.test, profile.label, plant, CAUGHT)
    reason = next((v.reason for v in profile.verdicts if v.reason), "no baseline")
    powerful = (
        visible is not None
        and visible <= planted_share
        and control is not None
        and abs(control) <= planted_share / 2
    )
    result = MISSED if powerful else POWERLESS
    return SelfTest(profile.test, profile.label, plant, result, reason)
