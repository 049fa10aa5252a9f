"""Findings for reviewers: each check that failed or stayed open, with the line that costs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_hiddencost.core.checks import (
    FAIL,
    INCONCLUSIVE,
    LIMIT,
    NEW,
    OPERATORS,
    REGRESSION,
    CheckKind,
)
from pytest_hiddencost.core.records import Device, Profile, Verdict, call_name, stale
from pytest_hiddencost.report.ci.causes import Cause, causes_of
from pytest_hiddencost.report.ci.source_lines import SourceLine, SourceTree
from pytest_hiddencost.report.wording import check_in_words, stale_line

Level = Literal["error", "warning"]
"""An error failed its test; a warning did not."""

MOST_LINES = 3  # that one check leads to
STALE, FAILED = "stale baseline", "test"  # stand in for a check
_RANKS: Mapping[CheckKind, int] = {REGRESSION: 0, OPERATORS: 1, LIMIT: 2}


@dataclass(frozen=True)
class CiRun:
    """A run at its end, as reports for reviewers need it.

    ``failed`` has the first line of the message of every test of ours that failed. ``test_lines``
    are the lines of the tests. ``endings`` are the lines at the end of the summary, each with
    whether it fails the run.
    """

    profiles: Sequence[Profile]
    device: Device | None = None
    strict: bool = False
    failed: Mapping[str, str] = field(default_factory=dict)
    test_lines: Mapping[str, SourceLine] = field(default_factory=dict)
    endings: Sequence[tuple[str, bool]] = ()


@dataclass(frozen=True)
class Finding:
    """Something that a reviewer should see, at most once for each check and line.

    ``headline`` gives the figures, ``cause`` the operators that cost it. ``identity`` is the same
    for this finding alone, in this run and the next. ``source`` is None if no line of the
    repository is known.
    """

    level: Level
    test: str
    label: str
    check: str
    headline: str
    cause: str
    source: SourceLine | None
    identity: tuple[str, ...]
    verdict: Verdict | None = None

    @property
    def of_call(self) -> bool:
        """Whether it is on a measured call, and not on a test that failed otherwise."""
        return self.check != FAILED

    @property
    def call(self) -> str:
        """The test's id, with the label if it has one."""
        return call_name(self.test, self.label)


def findings(run: CiRun, tree: SourceTree) -> list[Finding]:
    """Return every finding, the most important first.

    A broken limit of a test that was expected to fail is no finding.
    """
    found = [
        finding
        for profile in run.profiles
        for verdict in profile.verdicts
        if (level := _level(verdict, profile, run)) is not None
        for finding in _of_verdict(verdict, profile, level, run, tree)
    ]
    if run.strict:
        found += [_stale(p, run) for p in run.profiles if stale(p) and p.test in run.failed]
    explained = {finding.test for finding in found if finding.level == "error"}
    found += [_of_test(test, run) for test in run.failed if test not in explained]
    return sorted(found, key=_importance)


def _importance(finding: Finding) -> tuple[object, ...]:
    """Return the sorting key: errors first, exact growth first among them, then by excess."""
    verdict = finding.verdict
    if verdict is None:
        return finding.level, len(_RANKS), 0.0
    return finding.level, _RANKS[verdict.check.kind], -_excess(verdict)


def _excess(verdict: Verdict) -> float:
    """Return the measured value as a multiple of the limit."""
    measured, limit = verdict.measured, verdict.limit
    if measured is None:
        return 0.0
    if verdict.check.kind == REGRESSION and verdict.unit == "share":
        measured, limit = 1.0 + measured, 1.0 + limit
    large, small = (limit, measured) if verdict.at_least else (measured, limit)
    return large / small if small > 0 else float("inf")


def _level(verdict: Verdict, profile: Profile, run: CiRun) -> Level | None:
    """Return the level of a verdict; None if no reviewer needs to see it."""
    if verdict.verdict == FAIL or (run.strict and verdict.verdict in (INCONCLUSIVE, NEW)):
        return "error" if profile.test in run.failed else None
    return "warning" if verdict.verdict == INCONCLUSIVE else None


def _of_verdict(
    verdict: Verdict, profile: Profile, level: Level, run: CiRun, tree: SourceTree
) -> Iterator[Finding]:
    """Return a finding for each line to which a verdict leads; without any, for the test's."""
    shown: dict[SourceLine | None, list[Cause]] = {}
    for cause in causes_of(verdict, profile) or [Cause(verdict.explanation)]:
        source = tree.of_call_site(cause.line) or run.test_lines.get(profile.test)
        shown.setdefault(source, []).append(cause)
    for source, alike in list(shown.items())[:MOST_LINES]:
        # One check may lead to another line in the next run, and is the same finding.
        of_cause = (alike[0].operator, alike[0].modules) if len(shown) > 1 else ()
        yield Finding(
            level=level,
            test=profile.test,
            label=profile.label,
            check=str(verdict.check),
            headline=check_in_words(verdict),
            cause="\n".join(filter(None, (cause.text for cause in alike))),
            source=source,
            identity=(*_identity(profile), str(verdict.check), *of_cause),
            verdict=verdict,
        )


def _identity(profile: Profile) -> tuple[str, ...]:
    return profile.test, profile.label, profile.device


def _stale(profile: Profile, run: CiRun) -> Finding:
    assert profile.comparison is not None
    return Finding(
        level="error",
        test=profile.test,
        label=profile.label,
        check=STALE,
        headline=stale_line(profile.comparison),
        cause="",
        source=run.test_lines.get(profile.test),
        identity=(*_identity(profile), STALE),
    )


def _of_test(test: str, run: CiRun) -> Finding:
    """Return the finding on a test that failed, and not by a check."""
    source = run.test_lines.get(test)
    return Finding("error", test, "", FAILED, run.failed[test], "", source, (test, FAILED))
