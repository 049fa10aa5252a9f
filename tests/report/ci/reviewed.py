"""Runs and findings for reviewers, made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.checks import FAIL, Outcome, regression
from pytest_hiddencost.core.records import (
    CallsChange,
    CallSiteCost,
    Comparison,
    InterleavedComparison,
    OperatorChange,
    Profile,
    Verdict,
)
from pytest_hiddencost.report.ci.findings import CiRun, Finding, findings
from pytest_hiddencost.report.ci.source_lines import SourceLine, SourceTree
from tests.profiles import DEVICE, MS, operator, profile_of

TREE = SourceTree(Path("/repository"), ("",), frozenset({"src/pkg/net.py", "tests/test_it.py"}))
TEST_LINE = SourceLine("tests/test_it.py", 7)
CAT = CallSiteCost("blocks.1", "pkg/net.py:12", 12, 1.0 * MS)
NORM = CallSiteCost("blocks.1.norm", "torchvision/ops/misc.py:99", 20, 2.0 * MS)


def called(**changes: Any) -> Profile:
    """The network of 10 ms whose concatenations have a line of the repository."""
    return profile_of(
        operator("aten::mkldnn_convolution", 6 * MS, 20, macs=30_000_000, spread=0.05),
        operator("aten::native_batch_norm", 2 * MS, 20, spread=0.05, call_sites=[NORM]),
        operator("aten::cat", 1 * MS, 12, spread=0.05, call_sites=[CAT]),
        **changes,
    )


def run_of(*profiles: Profile, failed: Sequence[str] | None = None, **changes: Any) -> CiRun:
    """A run of these calls; a test fails that has a broken limit, unless ``failed`` says which."""
    broken = [p.test for p in profiles if any(v.verdict == FAIL for v in p.verdicts)]
    tests = {p.test for p in profiles}
    messages = {test: "a limit is broken" for test in (broken if failed is None else failed)}
    lines = dict.fromkeys(tests | messages.keys(), TEST_LINE)
    return replace(CiRun(profiles, DEVICE, failed=messages, test_lines=lines), **changes)


def found_in(run: CiRun) -> list[Finding]:
    """The findings of a run."""
    return findings(run, TREE)


def grown(check: str, measured: float, limit: float, **changes: Any) -> Verdict:
    """A failed comparison of calls, MACs or bytes."""
    return Verdict(regression(check), FAIL, measured, limit, **{"unit": "calls", **changes})


def slower(outcome: Outcome = FAIL) -> Verdict:
    """A comparison of p50: 8 % slower."""
    return Verdict(
        regression("p50"), outcome, 0.08, 0.05, "growth over base lies between +2 and +14 %",
        "share", (0.02, 0.14), remedy="measure longer (--hiddencost-max-time)",
    )  # fmt: skip


def copied() -> Profile:
    """A call that makes more copies than its baseline."""
    changes = (
        CallsChange("aten::copy_", 3, "blocks.*", "pkg/net.py:12"),
        CallsChange("aten::clone", 3, "blocks.*", "pkg/net.py:12"),
        CallsChange("aten::cat", 1, "head", "pkg/net.py:30"),
        CallsChange("aten::empty", 1),
        CallsChange("aten::add", -2),
    )
    profile = called(comparison=Comparison("1a2b", changed_calls=changes))
    verdict = grown(
        "calls", 57.0, 52.0, reason="+3 aten::copy_, +3 aten::clone (blocks.*, pkg/net.py:12)"
    )
    return replace(profile, verdicts=(verdict,))


def slowed() -> Profile:
    """A call that is slower than base, by its concatenations."""
    changes = (
        OperatorChange("aten::cat", 12, 12, 0.2 * MS, 1.0 * MS),
        OperatorChange("outside", 0, 0, 0.5 * MS, 0.6 * MS),
        OperatorChange("aten::relu", 4, 2, 0.5 * MS, 0.1 * MS),
    )
    base = InterleavedComparison("main", "1a2b3c4d5e6f", 1.08, (1.02, 1.14), operators=changes)
    return replace(called(interleaved=base), verdicts=(slower(),))
