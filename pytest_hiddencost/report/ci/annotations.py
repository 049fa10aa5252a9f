"""Annotations of GitHub Actions: workflow commands that put a finding beside a line of the code.

Syntax: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.ci.findings import Finding, Level
from pytest_hiddencost.report.ci.source_lines import SourceLine

MOST: Final = 10  # that GitHub shows of one level and step
MOST_WARNINGS: Final = 3  # an unfit device leaves every timed check open, and no line is at fault
MOST_FINDINGS = 8  # in one annotation
LONGEST_TITLE = 120  # characters
LONGEST_LINE = 400


def annotations_on(found: Sequence[Finding]) -> tuple[list[str], int]:
    """Return at most ten commands, and the number of lines that got none.

    Findings on one line share an annotation. ``found`` has the most important first.
    """
    by_line: dict[tuple[Level, SourceLine | None, str], list[Finding]] = {}
    for finding in found:
        # Without a line, two tests have nothing in common.
        key = finding.level, finding.source, "" if finding.source else finding.test
        by_line.setdefault(key, []).append(finding)
    warnings = [key for key in by_line if key[0] == "warning"]
    shown = [key for key in by_line if key not in warnings[MOST_WARNINGS:]][:MOST]
    return [_annotation(by_line[key]) for key in shown], len(by_line) - len(shown)


def _annotation(alike: Sequence[Finding]) -> str:
    first, *others = alike
    more = f" and {len(others)} more" if others else ""
    title = f"hiddencost: {_short(printable(first.headline), LONGEST_TITLE - len(more))}{more}"
    lines = [line for finding in alike[:MOST_FINDINGS] for line in _lines(finding)]
    if len(alike) > MOST_FINDINGS:
        lines.append(f"and {len(alike) - MOST_FINDINGS} more on this line")
    properties = {"title": title}
    if first.source is not None:
        file, line = first.source.path, str(first.source.line)
        properties = {"file": file, "line": line, **properties}
    return command(first.level, properties, "\n".join(lines))


def _lines(finding: Finding) -> list[str]:
    lines = [f"{finding.call}: {finding.headline}", *finding.cause.splitlines()]
    return [_short(printable(line), LONGEST_LINE) for line in lines]


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def command(name: str, properties: dict[str, str], message: str) -> str:
    """Return a workflow command on one line, whatever its properties and its message hold."""
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
