"""The output of a run for reviewers: files for a pull request, and GitHub's summary of a job."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_hiddencost.report.ci.annotations import annotations_on
from pytest_hiddencost.report.ci.code_quality import issues
from pytest_hiddencost.report.ci.findings import CiRun, Finding, findings
from pytest_hiddencost.report.ci.pull_request import comment, document
from pytest_hiddencost.report.ci.source_lines import SourceLine, SourceTree, source_tree
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.replacing import replacing

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable with the path of the file that GitHub shows as the summary of a job's step."""
SUMMARY_BYTES: Final = 1_000_000
"""The largest file of a summary, with what other programs wrote; GitHub refuses 1 MiB."""
OWN_SUMMARY_BYTES: Final = 500_000
FEWEST_BYTES = 4_000  # that are worth writing
_CHECKOUTS = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR")


@dataclass(frozen=True)
class Review:
    """A run for its reviewers: its results, and the findings with their lines."""

    run: CiRun
    found: list[Finding]

    @property
    def empty(self) -> bool:
        """Whether the run measured nothing, and no test that should have measured failed."""
        return not self.run.profiles and not self.run.failed


@dataclass(frozen=True)
class GitHubOutput:
    """Lines for the terminal: workflow commands, and warnings for people."""

    commands: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def review_of(settings: Settings, results: Results, root: Path) -> Review:
    """Return the run at its end, for its reviewers; ``root`` is the rootdir."""
    invocation = settings.invocation
    folders = [root] if invocation is None else [invocation.directory, root]
    tree = source_tree(folders, _checkout(os.environ))
    profiles = results.in_order()
    tests = {profile.test for profile in profiles} | results.failures.keys()
    run = CiRun(
        profiles=profiles,
        device=results.device,
        strict=settings.strict,
        failed=results.failures,
        test_lines=_test_lines(tests, results, root, tree),
        endings=[(line.text, line.color == "red") for line in results.ending.lines],
    )
    return Review(run, findings(run, tree))


def _checkout(environment: Mapping[str, str]) -> Path | None:
    """Return the folder into which the CI service checked out the repository, if it names one."""
    return next((Path(environment[name]) for name in _CHECKOUTS if environment.get(name)), None)


def _test_lines(
    tests: set[str], results: Results, root: Path, tree: SourceTree
) -> dict[str, SourceLine]:
    found = {}
    for test in tests:
        file, line = results.location(test) or ("", None)
        if file and (source := tree.of_file(root / file, (line or 0) + 1)) is not None:
            found[test] = source
    return found


def write_markdown(path: Path, review: Review) -> None:
    """Write the Markdown for a pull request's comment. Raises ``OSError``."""
    with replacing(path) as file:
        file.write(comment(review.run, review.found).encode())


def write_code_quality(path: Path, review: Review) -> None:
    """Write GitLab's report on code quality. Raises ``OSError``."""
    with replacing(path) as file:
        file.write(f"{json.dumps(issues(review.found), indent=1)}\n".encode())


def tell_github(settings: Settings, review: Review) -> GitHubOutput:
    """Add to the summary of the job's step, and return the annotations.

    A summary that cannot be written is a warning.
    """
    if review.empty:
        return GitHubOutput()
    warnings = []
    path = os.environ.get(SUMMARY, "")
    if path:
        warnings += _added_summary(Path(path), review)
    elif settings.github == "on":
        warnings.append(f"hiddencost: no job summary was written: {SUMMARY} is not set")
    commands, left_out = annotations_on(review.found)
    if left_out:
        where = "the job summary" if path else "the table above"
        lines = "line has" if left_out == 1 else "lines have"
        warnings.append(f"hiddencost: {left_out} more {lines} findings: see {where}")
    return GitHubOutput(tuple(commands), tuple(warnings))


def _added_summary(path: Path, review: Review) -> list[str]:
    """Append the document to the summary; return why that failed, or nothing."""
    failed = "hiddencost: the job summary was not written"
    try:
        present = path.read_bytes() if path.exists() else b""
        left_bytes = min(OWN_SUMMARY_BYTES, SUMMARY_BYTES - len(present))
        text = ""
        if left_bytes >= FEWEST_BYTES:
            gap = "" if not present or present.endswith(b"\n\n") else "\n\n"
            text = document(review.run, review.found, left_bytes, gap)
        if not text:
            size = f"{len(present) / 1000:.0f} kB"
            return [f"{failed}: {path} holds {size} already, and GitHub takes 1 MiB a step"]
        with path.open("ab") as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        return [f"{failed}: {error}; leave it out with --hiddencost-github=off"]
    return []
