"""The promises of the tests' own tools: runs of their own, and groups of tests in one worker."""

from __future__ import annotations

import pytest

from tests.suites import run, run_here, write_suite

ENVIRONMENT = """
import os
from pytest_hiddencost.run.settings import Settings

def test_environment(pytestconfig):
    assert not [n for n in os.environ if n.startswith(("PYTEST_XDIST", "PYTEST_ADDOPTS"))]
    assert Settings.from_config(pytestconfig).xdist_workers == 1
    assert torch.get_num_threads() == 1

@budget(p50="10 s")
def test_time_is_judged(hiddencost):
    assert [v.verdict for v in hiddencost(MODEL, X).verdicts] == ["pass"]
"""


def test_a_run_inside_knows_nothing_of_the_worker_around_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--maxfail=1 -n2")
    run(pytester, ENVIRONMENT).assert_outcomes(passed=2)


def test_a_run_inside_has_a_terminal_of_its_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    write_suite(pytester, "def test_it(): pass")
    for columns in (80, 120):
        [title, *_] = run_here(pytester, columns=columns).stdout.lines
        assert len(title) == columns


@pytest.mark.xdist_group("clock")
@pytest.mark.parametrize("number", range(2))
def test_groups_are_seen(request: pytest.FixtureRequest, number: int) -> None:
    """Else tests that read a clock would run side by side."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@clock")
