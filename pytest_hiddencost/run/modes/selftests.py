"""Lines of the summary on injected regressions."""

from __future__ import annotations

from pytest_hiddencost.core.records import call_name
from pytest_hiddencost.judge.selftest import CAUGHT, MISSED, POWERLESS, Result, SelfTest
from pytest_hiddencost.run.modes.base import Color, Line

_SELFTEST_COLORS: dict[Result, Color] = {CAUGHT: "green", MISSED: "red", POWERLESS: "yellow"}


def selftest_line(found: SelfTest) -> Line:
    """Return the line on one injected regression: whether the gate noticed it."""
    name = call_name(found.test, found.label)
    why = f": {found.why}" if found.why else ""
    text = f"selftest: {name}: {found.injection} {found.result}{why}"
    return Line(text, _SELFTEST_COLORS[found.result])
