"""The plugin of a test's process on a device: its file has the reports that travel back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.workers.invocation import FLEET_REPORTS

PLUGIN = ("-p", "pytest_hiddencost.workers.fleet_plugin", "-pno:cacheprovider")


def left_by(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tests: str) -> list[Any]:
    """Run these tests as on a device; return the lines of the file."""
    path = Path(pytester.path) / "reports.jsonl"
    monkeypatch.setenv(FLEET_REPORTS, str(path))
    pytester.makepyfile(test_it=tests)
    pytester.runpytest_inprocess(*PLUGIN)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def test_the_file_has_every_report(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = left_by(pytester, monkeypatch, "def test_it():\n    assert 1 == 2")
    assert [(r["when"], r["outcome"]) for r in found] == [
        ("setup", "passed"),
        ("call", "failed"),
        ("teardown", "passed"),
    ]
    assert "assert 1 == 2" in json.dumps(found[1]["longrepr"])


def test_the_file_says_why_a_module_could_not_be_collected(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    [found] = left_by(pytester, monkeypatch, "import nowhere_to_be_found")
    text, color = found["line"]
    assert "nowhere_to_be_found" in text
    assert color == "red"
