"""The verdict on the gate itself: whether it notices an injected regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pytest_hiddencost.core.checks import FAIL, REGRESSION
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.core.tolerances import STRUCTURE

CAUGHT: Final = "caught"
MISSED: Final = "missed"
POWERLESS: Final = "no power"
Result = Literal["caught", "missed", "no power"]


@dataclass(frozen=True)
class SelfTest:
    """What came of one injected regression in one call, and why."""

    test: str
    label: str
    injection: str
    result: Result
    why: str = ""


def structure_result(profile: Profile, injection: str) -> SelfTest:
    """Return whether injected operators were noticed; structure is exact, so they must be."""
    caught = _failed(profile, STRUCTURE)
    why = "" if caught else "no check of the structure failed"
    return SelfTest(profile.test, profile.label, injection, CAUGHT if caught else MISSED, why)


def time_result(profile: Profile, injection: str, injected_share: float) -> SelfTest:
    """Return whether an injected slowdown was noticed.

    It counts as missed only if the run could have seen a growth of ``injected_share``.
    """
    if _failed(profile, ("p50", "non_mac")):
        return SelfTest(profile.test, profile.label, injection, CAUGHT)
    found = profile.comparison
    why = next((v.explanation for v in profile.verdicts if v.reason), "no baseline")
    powerful = (
        found is not None
        and found.smallest_growth is not None
        and found.smallest_growth <= injected_share
        and found.reference_growth is not None
        and abs(found.reference_growth) <= injected_share / 2
    )
    result: Result = MISSED if powerful else POWERLESS
    return SelfTest(profile.test, profile.label, injection, result, why)


def _failed(profile: Profile, keys: tuple[str, ...]) -> bool:
    return any(
        v.verdict == FAIL and v.check.kind == REGRESSION and v.check.key in keys
        for v in profile.verdicts
    )
