"""Time limits of other plugins: a comparison does not use them up."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.run.modes.base import Judgement, Measurement
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from tests.suites import run

# pytest-timeout as far as tests need it: its hooks, and a timer that another plugin sees.
STAND_IN = """
import collections
import pytest

Settings = collections.namedtuple("Settings", "timeout method")

class Hooks:
    @pytest.hookspec(firstresult=True)
    def pytest_timeout_set_timer(item, settings): ...
    @pytest.hookspec(firstresult=True)
    def pytest_timeout_cancel_timer(item): ...

def pytest_addhooks(pluginmanager):
    pluginmanager.add_hookspecs(Hooks)

@pytest.hookimpl(trylast=True)
def pytest_timeout_set_timer(item, settings):
    item.config.timers.append(settings.timeout)
    return True

@pytest.hookimpl(trylast=True)
def pytest_timeout_cancel_timer(item):
    item.config.timers.append("off")
    return True

def pytest_configure(config):
    config.timers = []

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    item.ihook.pytest_timeout_set_timer(item=item, settings=Settings(1000, "thread"))
    try:
        return (yield)
    finally:
        item.ihook.pytest_timeout_cancel_timer(item=item)

def pytest_unconfigure(config):
    print("timers", [t if t == "off" else "on" if 0 < t <= 1000 else t for t in config.timers])
"""
WITHOUT = ("-p", "no:timeout")  # a pytest-timeout that is installed
WITHIN = "@budget(macs=128)\ndef test_within(hiddencost): hiddencost(MODEL, X)"


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are left of the interval timer whenever a call is judged."""
    found: list[float] = []
    judge = BudgetsOnly.judge

    def watched(mode: BudgetsOnly, measurement: Measurement) -> Judgement:
        found.append(signal.getitimer(signal.ITIMER_REAL)[0])
        return judge(mode, measurement)

    monkeypatch.setattr(BudgetsOnly, "judge", watched)
    return found


def test_the_timer_thread_of_pytest_timeout_is_off_while_a_call_is_judged(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(STAND_IN)
    result = run(pytester, WITHIN, *WITHOUT)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("timers ['on', 'off', 'on', 'off']")


def test_a_cancelled_timer_is_not_set_again(pytester: pytest.Pytester) -> None:
    cancelling = """
    def test_debugged(hiddencost, request):
        hiddencost(MODEL, X)
        request.node.ihook.pytest_timeout_cancel_timer(item=request.node)
    """
    pytester.makeconftest(STAND_IN)
    result = run(pytester, cancelling, *WITHOUT)
    result.stdout.fnmatch_lines("timers ['on', 'off', 'off']")


def test_a_limit_set_by_a_signal_is_paused_and_goes_on(
    pytester: pytest.Pytester, judging: list[float]
) -> None:
    limited = """
    import signal

    @pytest.fixture(autouse=True)
    def limit():
        signal.setitimer(signal.ITIMER_REAL, 1000)
        yield
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert 0 < left <= 1000
    """
    run(pytester, [limited, WITHIN]).assert_outcomes(passed=1)
    assert judging == [0]


def test_a_timer_is_set_again_after_a_judgement_that_fails_the_test(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(STAND_IN)
    result = run(pytester, WITHIN.replace("128", "127"), *WITHOUT)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("timers ['on', 'off', 'on', *")


def test_the_dump_of_pytests_faulthandler_is_off_while_a_call_is_judged(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may end the process: ``faulthandler_exit_on_timeout``."""
    import faulthandler

    found: list[str] = []

    def later(*_: Any, **__: Any) -> None:
        found.append("on")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", later)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: found.append("off"))
    run(pytester, WITHIN, "-o", "faulthandler_timeout=1000").assert_outcomes(passed=1)
    assert found == ["on", "off", "on", "off"]


def test_without_time_limits_nothing_is_set(
    pytester: pytest.Pytester, judging: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(signal, "setitimer", never)
    run(pytester, WITHIN).assert_outcomes(passed=1)
    assert judging == [0]


def test_a_measurement_that_runs_out_of_time_says_what_counts(pytester: pytest.Pytester) -> None:
    slow = """
    def model(x):
        pytest.fail("Timeout (>1.0s) from pytest-timeout.")

    def test_slow(hiddencost): hiddencost(model, X)
    """
    result = run(pytester, slow)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*hiddencost was measuring*--hiddencost-max-time*")


SIDE = """
from pytest_hiddencost.workers.interleaved_plugin import WorkerSide

def pytest_sessionstart(session):
    session.config.pluginmanager.register(WorkerSide(None))
"""


@pytest.mark.parametrize(
    ("conftest", "arguments"),
    [(SIDE, []), ("", ["-p", "pytest_hiddencost.workers.relaunch_plugin"])],
    ids=["side of a pair", "relaunch"],
)
def test_a_worker_process_sets_no_timer(
    pytester: pytest.Pytester, conftest: str, arguments: list[str]
) -> None:
    pytester.makeconftest(STAND_IN + conftest)
    result = run(pytester, WITHIN, *WITHOUT, *arguments)
    result.stdout.fnmatch_lines("timers ['off'*")


def test_a_relaunch_lifts_the_time_limit_of_a_session(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makeconftest(
        "def pytest_addoption(parser):\n"
        "    parser.addoption('--session-timeout', type=float)\n"
        "def pytest_unconfigure(config):\n"
        "    print('limit', config.option.session_timeout)\n"
    )
    plugin = (*WITHOUT, "-p", "pytest_hiddencost.workers.relaunch_plugin", "--session-timeout=1")
    run(pytester, WITHIN, *plugin).stdout.fnmatch_lines("limit 1.0")
    order = f"--hiddencost-relaunch={tmp_path / 'profiles.json'}"
    run(pytester, WITHIN, *plugin, order).stdout.fnmatch_lines("limit 1000000000.0")
