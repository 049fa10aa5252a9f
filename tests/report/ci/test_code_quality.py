"""GitLab's code quality: valid by the published format, with fingerprints that stay."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from pytest_hiddencost.core.checks import INCONCLUSIVE
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.ci.code_quality import issues
from tests.profiles import MS, operator, profile_of
from tests.report.ci.reviewed import CAT, called, copied, found_in, run_of, slowed, slower
from tests.report.printed import judged

# https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format: these keys are
# required, and either lines.begin or positions.begin.line.
BEGIN = {"type": "integer", "minimum": 1}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32,64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path"],
                # Relative, and without ./ before it.
                "properties": {
                    "path": {"type": "string", "pattern": "^(?!/|\\./).+"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": BEGIN},
                    },
                    "positions": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {
                            "begin": {
                                "type": "object",
                                "required": ["line"],
                                "properties": {"line": BEGIN},
                            }
                        },
                    },
                },
                "oneOf": [{"required": ["lines"]}, {"required": ["positions"]}],
            },
        },
    },
}


def report(*profiles: Profile, **changes: Any) -> list[dict[str, Any]]:
    """The report on these calls, valid and as it is read from its file."""
    found = issues(found_in(run_of(*profiles, **changes)))
    jsonschema.validate(found, SCHEMA)
    read: list[dict[str, Any]] = json.loads(json.dumps(found))
    prints = [issue["fingerprint"] for issue in read]
    assert len(set(prints)) == len(prints), "GitLab shows one issue of a fingerprint"
    return read


def fingerprints(*profiles: Profile) -> list[str]:
    return [issue["fingerprint"] for issue in report(*profiles)]


def test_a_broken_limit_is_an_issue_on_its_line() -> None:
    [issue] = report(judged(called(), operators={"aten::cat": "3 calls"}))
    assert issue["description"] == (
        "test_models.py::test_it: operators[aten::cat] 12 calls, at most 3 calls; "
        "12 x aten::cat from blocks.1, pkg/net.py:12 (1 ms)"
    )
    assert issue["check_name"] == "hiddencost/operators[aten::cat]"
    assert issue["severity"] == "major"
    assert issue["location"] == {"path": "src/pkg/net.py", "lines": {"begin": 12}}


def test_without_findings_the_report_is_an_empty_list() -> None:
    assert report(judged(called(), p50="20 ms")) == []
    assert report() == []


def test_every_finding_is_an_issue_of_its_own() -> None:
    limits = judged(called(label="a|b"), p50="1 ms", p95="1 ms", non_mac="1%")
    assert len(report(limits, copied(), replace(slowed(), test="other"))) == 7


def test_an_open_check_is_minor_and_strictly_major() -> None:
    profile = replace(called(), verdicts=(slower(INCONCLUSIVE),))
    assert [issue["severity"] for issue in report(profile)] == ["minor"]
    strict = report(profile, failed=[profile.test], strict=True)
    assert [issue["severity"] for issue in strict] == ["major"]


def test_a_fingerprint_stays_if_lines_move_and_figures_change() -> None:
    moved = replace(CAT, line="pkg/net.py:99", self_ns=1.1 * MS)

    def net(site: Any, calls: int) -> Profile:
        profile = profile_of(operator("aten::cat", MS, calls, call_sites=[site]))
        return judged(profile, operators={"aten::cat": "3 calls"})

    assert fingerprints(net(CAT, 12)) == fingerprints(net(moved, 14))


@pytest.mark.parametrize(
    "change",
    [{"test": "other"}, {"label": "b8"}, {"device": "cuda:0"}],
    ids=lambda c: next(iter(c)),
)
def test_a_fingerprint_is_of_one_call_on_one_device(change: dict[str, str]) -> None:
    profile = judged(called(), p50="1 ms")
    assert fingerprints(profile) != fingerprints(replace(profile, **change))  # type: ignore[arg-type]


def test_a_test_without_a_known_line_keeps_its_module() -> None:
    profile = judged(called(), p50="1 ms")
    [issue] = report(profile, test_lines={})
    assert issue["location"] == {"path": "test_models.py", "lines": {"begin": 1}}


def test_hostile_text_is_one_line_of_text() -> None:
    hostile = '<img src=x>\n"quoted" \\ 模型 \udc80 ' + "x" * 5000
    [issue] = report(judged(called(test=hostile, label=hostile), p50="1 ms"))
    assert "\n" not in issue["description"]
    assert len(issue["description"]) == 500
