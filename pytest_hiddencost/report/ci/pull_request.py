"""One Markdown document on a run: for a pull request's comment, and for a job's summary.

The same results give the same text: it has no date, and no commit of head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, NEW, PASS, regression
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.records import CallKey, Profile, Verdict
from pytest_hiddencost.report.ci.findings import CiRun, Finding
from pytest_hiddencost.report.ci.markdown import (
    CLOSED,
    Part,
    code,
    fenced,
    fitted,
    head,
    in_summary,
    opened,
    prose,
    row,
)
from pytest_hiddencost.report.failure import failure_messages
from pytest_hiddencost.report.terminal import (
    alignment,
    change,
    device_lines,
    other_remarks,
    summary_rows,
    title,
    verdict_of,
)
from pytest_hiddencost.report.wording import grouped, unknown_energies

COMMENT_MARK: Final = "<!-- pytest-hiddencost -->"
"""The first line of a comment, which readers do not see: an action finds the comment by it."""
COMMENT_BYTES: Final = 60_000
"""A comment's largest size: GitHub takes 65,536 characters, and an action may add a line."""
ELSEWHERE: Final = "the run file (--hiddencost-json) has every figure"

EXPECTED = "expected to fail"
WHOLE = str(regression())
SIGNS = {FAIL: "❌", INCONCLUSIVE: "⚠️", NEW: "🆕", PASS: "✅"}  # worst first
SHOWN_ROWS = 20  # of the table of calls; more are collapsed
BROKEN, OPEN, FIRST_ROWS, WHY, MORE = 1, 2, 3, 4, 5  # ranks of parts


def comment(run: CiRun, found: Sequence[Finding]) -> str:
    """Return the text of a pull request's comment, with the marker by which it is found again."""
    return document(run, found, COMMENT_BYTES, before=f"{COMMENT_MARK}\n\n")


def document(run: CiRun, found: Sequence[Finding], limit_bytes: int, before: str = "") -> str:
    """Return the document, cut to the limit; empty if not even its headings fit."""
    return fitted([Part(before), *_Document(run, found).parts()], limit_bytes, ELSEWHERE)


class _Document:
    """The parts of the document on one run."""

    def __init__(self, run: CiRun, found: Sequence[Finding]) -> None:
        self._run = run
        self._errors = [finding for finding in found if finding.level == "error"]
        broken = {(f.test, f.label) for f in self._errors if f.of_call}
        self._verdicts = {_key(p): _verdict(p, broken) for p in run.profiles}
        worst = [*SIGNS, EXPECTED, ""]
        self._profiles = sorted(run.profiles, key=lambda p: worst.index(self._verdicts[_key(p)]))

    def parts(self) -> Iterator[Part]:
        yield Part(f"### {self._verdict_line()}\n\n")
        yield from self._failures()
        yield from self._open(INCONCLUSIVE, "Inconclusive")
        yield from self._open(NEW, "New")
        yield from self._calls()
        yield from self._remarks()
        yield from self._device()

    def _verdict_line(self) -> str:
        """Return the verdict on the whole run: ``❌ hiddencost: 2 of 7 calls fail``."""
        counts, total = Counter(self._verdicts.values()), len(self._verdicts)
        others = len({finding.test for finding in self._errors if not finding.of_call})
        if counts[FAIL]:
            sign, text = SIGNS[FAIL], _of(counts[FAIL], total, "fails", "fail")
        elif others:
            sign, text = SIGNS[FAIL], f"{_count(others, 'test')} failed, and no limit is broken"
        elif any(fails for _, fails in self._run.endings):
            sign, text = SIGNS[FAIL], f"the run failed; {_count(total, 'call')} measured"
        elif not total:
            sign, text = SIGNS[INCONCLUSIVE], "no call was measured"
        else:
            sign, text = _unbroken(counts, total)
        return f"{sign} hiddencost: {text}"

    def _failures(self) -> Iterator[Part]:
        """Return the table of failures, and the whole message of each call, collapsed."""
        if not self._errors:
            return
        yield Part("#### Failed checks\n\n")
        yield Part(head(["call", "failed check", "cause", "line"], ["left"] * 4))
        for finding in self._errors:
            source = finding.source
            cells = [
                code(finding.call),
                prose(finding.headline),
                "<br>".join(map(code, finding.cause.splitlines())),
                code(f"{source.path}:{source.line}") if source else "",
            ]
            yield Part(row(cells), BROKEN, "broken limit", "broken limits")
        yield Part("\n")
        for profile in self._profiles:
            for message in self._messages(profile):
                text = opened(f"Details of {in_summary(title(profile))}") + fenced(message) + CLOSED
                yield Part(text, WHY, "explanation", "explanations")

    def _messages(self, profile: Profile) -> Iterable[str]:
        fails = self._verdicts[_key(profile)] == FAIL
        return failure_messages([profile], strict=self._run.strict) if fails else ()

    def _open(self, outcome: str, heading: str) -> Iterator[Part]:
        """Return each reason of an open check once, with its remedy and its calls."""
        by_reason: dict[tuple[str, str], list[tuple[Profile, Verdict]]] = {}
        for profile in self._profiles:
            for verdict in profile.verdicts:
                failed = self._run.strict and self._verdicts[_key(profile)] == FAIL
                if verdict.verdict == outcome and not failed:
                    key = verdict.reason, verdict.remedy
                    by_reason.setdefault(key, []).append((profile, verdict))
        if by_reason:
            yield Part(f"#### {heading}\n\n")
        for (reason, remedy), found in by_reason.items():
            checks = grouped((title(p), str(v.check)) for p, v in found)
            calls = [_with_checks(call, names) for call, names in checks.items()]
            advice = f" **Remedy:** {prose(remedy)}." if remedy else ""
            text = f"- {listed(calls)}: {prose(reason)}.{advice}\n"
            yield Part(text, OPEN, "reason", "reasons")
        if by_reason:
            yield Part("\n")

    def _calls(self) -> Iterator[Part]:
        """Return the table of calls, the worst first; those beyond a screen are collapsed."""
        if not self._profiles:
            return
        headers, rows = summary_rows(self._profiles)
        growths = [change(profile) for profile in self._profiles]
        grown = any(growths)
        names = ["verdict", "call", *headers[1:-1], *["growth"] * grown]
        top = head(names, ["left", "left", *alignment(headers[1:-1]), *["left"] * grown])
        yield Part("#### Calls\n\n" + top)
        for number, (profile, cells, growth) in enumerate(
            zip(self._profiles, rows, growths, strict=True)
        ):
            if number == SHOWN_ROWS:
                more = _count(len(rows) - number, "more call")
                yield Part("\n" + opened(more) + top)
            shown = [self._sign(profile), code(cells[0]), *map(prose, cells[1:-1])]
            text = row([*shown, *[prose(growth)] * grown])
            rank = FIRST_ROWS if number < SHOWN_ROWS else MORE
            yield Part(text, rank, "call of the table", "calls of the table")
        yield Part(CLOSED if len(rows) > SHOWN_ROWS else "\n")

    def _sign(self, profile: Profile) -> str:
        verdict = self._verdicts[_key(profile)]
        return f"{SIGNS[verdict]} {verdict}" if verdict in SIGNS else verdict or "-"

    def _remarks(self) -> Iterator[Part]:
        """Return the lines at the end of the summary, and the remarks on each call."""
        lines = [prose(text) for text, _ in self._run.endings]
        lines += map(prose, unknown_energies(self._profiles))
        lines += [
            f"{code(title(p))}: {prose(text)}" for p in self._profiles for text in other_remarks(p)
        ]
        if lines:
            yield Part("#### Remarks\n\n")
            for line in lines:
                yield Part(f"- {line}\n", MORE, "remark", "remarks")
            yield Part("\n")

    def _device(self) -> Iterator[Part]:
        device = self._run.device
        if device is None or not self._run.profiles:
            return
        yield Part(opened("Device and its health"))
        fit = all(profile.health.fit for profile in self._run.profiles)
        lines = [
            *device_lines(device, self._run.profiles, verbosity=2),
            *(["fit for timing"] if fit else []),
            f"{device.os} on {device.arch}, Python {device.python}",
        ]
        for line in lines:
            yield Part(f"- {prose(line)}\n", MORE, "line on the device", "lines on the device")
        yield Part(CLOSED)


def _with_checks(call: str, names: Sequence[str]) -> str:
    """Return a call with its checks; the whole comparison with a baseline needs no name."""
    return code(call) if names == [WHOLE] else f"{code(call)} ({prose(listed(names))})"


def _key(profile: Profile) -> CallKey:
    return profile.test, profile.label


def _verdict(profile: Profile, broken: set[CallKey]) -> str:
    """Return the verdict on a call in this run; empty without limits.

    A call fails by strictness as well, and a broken limit of an expected failure fails nothing.
    """
    if _key(profile) in broken:
        return FAIL
    worst = verdict_of(profile) or ""
    return EXPECTED if worst == FAIL else worst


def _unbroken(counts: Counter[str], total: int) -> tuple[str, str]:
    """Return sign and words for a run in which nothing failed."""
    for verdict, words in ((INCONCLUSIVE, "inconclusive"), (NEW, "new")):
        if counts[verdict]:
            return SIGNS[verdict], _of(counts[verdict], total, f"is {words}", f"are {words}")
    if not counts[PASS] and counts[EXPECTED]:
        text = _of(counts[EXPECTED], total, "fails as expected", "fail as expected")
        return SIGNS[INCONCLUSIVE], text
    if not counts[PASS]:
        return SIGNS[INCONCLUSIVE], f"{_count(total, 'call')} measured, and no limit checked"
    return SIGNS[PASS], _of(counts[PASS], total, "passes", "pass")


def _of(number: int, total: int, one: str, many: str) -> str:
    return f"{number} of {_count(total, 'call')} {one if number == 1 else many}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
