"""The result of a selftest: whether the plugin notices an injected regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pytest_hiddencost.core.checks import PASS, regression
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.core.tolerances import ENERGY, STRUCTURE, TIMED
from pytest_hiddencost.judge.verdicts import regressed

CAUGHT: Final = "caught"
MISSED: Final = "missed"
POWERLESS: Final = "no power"
Result = Literal["caught", "missed", "no power"]


@dataclass(frozen=True)
class SelfTest:
    """The result of one injected regression in one call, and the reason for it."""

    test: str
    label: str
    injection: str
    result: Result
    why: str = ""


def structure_result(profile: Profile, injection: str) -> SelfTest:
    """Return whether a check of the structure, which is exact, noticed injected operators."""
    caught = regressed(profile.verdicts, STRUCTURE)
    why = "" if caught else "no check of the structure failed"
    return SelfTest(profile.test, profile.label, injection, CAUGHT if caught else MISSED, why)


def time_result(profile: Profile, injection: str, injected_share: float) -> SelfTest:
    """Return whether a timed check noticed an injected slowdown.

    It is missed only if the run could have detected a growth of ``injected_share``.
    """
    if regressed(profile.verdicts, TIMED):
        return SelfTest(profile.test, profile.label, injection, CAUGHT)
    found = [v for v in profile.verdicts if v.reason and v.check.key != ENERGY]
    why = next((v.explanation for v in found), "no baseline")
    powerful = _could_detect(profile, injected_share)
    result: Result = MISSED if powerful else POWERLESS
    return SelfTest(profile.test, profile.label, injection, result, why)


def _could_detect(profile: Profile, injected_share: float) -> bool:
    if profile.interleaved is not None:  # a pass says that the growth is smaller
        p50 = [v for v in profile.verdicts if v.check == regression("p50")]
        return any(v.verdict == PASS for v in p50)
    found = profile.comparison
    return (
        found is not None
        and found.smallest_growth is not None
        and found.smallest_growth <= injected_share
        and found.reference_growth is not None
        and abs(found.reference_growth) <= injected_share / 2
    )
