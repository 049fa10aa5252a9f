"""Code quality of GitLab: one issue for each finding, which the merge request's widget lists.

Format: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.ci.findings import Finding
from pytest_hiddencost.report.ci.source_lines import SourceLine

LONGEST_DESCRIPTION = 500  # characters: the widget shows it on one line


def issues(found: Sequence[Finding]) -> list[dict[str, object]]:
    """Return the issues of a report, as plain JSON data; none if nothing was found.

    The fingerprint of a finding is the same after lines have moved, and in the next run.
    """
    return [_issue(finding) for finding in found]


def _issue(finding: Finding) -> dict[str, object]:
    causes = finding.cause.splitlines()
    text = ": ".join([finding.call, "; ".join([finding.headline, *causes])])
    # The format has no issue without a file: without a known line it is the test's module.
    source = finding.source or SourceLine(finding.test.partition("::")[0], 1)
    return {
        "description": printable(text)[:LONGEST_DESCRIPTION],
        "check_name": printable(f"hiddencost/{finding.check}"),
        "fingerprint": fingerprint(finding),
        "severity": _severity(finding),
        "location": {"path": printable(source.path), "lines": {"begin": max(1, source.line)}},
    }


def fingerprint(finding: Finding) -> str:
    """Return the finding's identity as 64 hexadecimal digits."""
    identity = "\0".join(finding.identity)
    return hashlib.sha256(identity.encode("utf-8", "backslashreplace")).hexdigest()


def _severity(finding: Finding) -> str:
    """Return ``major`` for what failed a test; an open check may be ``minor``."""
    return "major" if finding.level == "error" else "minor"
