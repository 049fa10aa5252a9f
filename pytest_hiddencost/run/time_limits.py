"""The time limits that other plugins set for a test: comparisons do not count towards them.

A comparison follows the body of a test, inside pytest's protocol for it, and may take a minute.
Meanwhile this module pauses an interval timer of signals, the timer thread of pytest-timeout, and
the traceback dump of pytest's ``faulthandler_timeout``.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from _pytest import faulthandler as dumps  # pytest keeps the file of its dumps to itself

if TYPE_CHECKING:
    from _pytest.stash import StashKey

SOON_S = 0.001  # a timer of 0 is none
MEASURED = (
    "hiddencost was measuring. Measuring counts towards the time limit of the test, comparisons do "
    "not: raise the limit (--timeout or the marker timeout), or lower --hiddencost-max-time"
)
_FILE: StashKey[int] | None = getattr(dumps, "fault_handler_stderr_fd_key", None)


@dataclass
class _Timer:
    """The timer of pytest-timeout for one test: its settings, and when it ends."""

    settings: Any
    end_s: float


_TIMER = pytest.StashKey[_Timer]()
_STARTED = pytest.StashKey[float]()


class TimeLimits:
    """The plugin object that follows the timers of the running test.

    ``settle`` waits for the run's preparations; this wait is no part of a test's time.
    """

    def __init__(self, settle: Callable[[], None]) -> None:
        self._settle = settle

    @pytest.hookimpl(tryfirst=True, wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Wait for the run's preparations, then note the start of the test."""
        if "hiddencost" in getattr(item, "fixturenames", ()):
            self._settle()
        item.stash[_STARTED] = monotonic()
        return (yield)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item, settings: Any) -> None:
        """Note the timer that pytest-timeout sets."""
        item.stash[_TIMER] = _Timer(settings, monotonic() + settings.timeout)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_cancel_timer(self, item: pytest.Item) -> None:
        """Forget the timer that pytest-timeout cancels."""
        if _TIMER in item.stash:
            del item.stash[_TIMER]


@contextmanager
def paused(item: pytest.Item) -> Iterator[None]:
    """Pause the time limits of a test in the block."""
    with _dump_paused(item), _thread_paused(item), _signal_paused():
        yield


@contextmanager
def _signal_paused() -> Iterator[None]:
    left_s, interval_s = signal.getitimer(signal.ITIMER_REAL) if _has_timers() else (0.0, 0.0)
    if not left_s:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)


def _has_timers() -> bool:
    return hasattr(signal, "setitimer")


@contextmanager
def _thread_paused(item: pytest.Item) -> Iterator[None]:
    timer = item.stash.get(_TIMER, None)
    if timer is None or (_has_timers() and signal.getitimer(signal.ITIMER_REAL)[0]):
        yield
        return
    left_s = max(SOON_S, timer.end_s - monotonic())
    item.ihook.pytest_timeout_cancel_timer(item=item)
    try:
        yield
    finally:
        settings = timer.settings._replace(timeout=left_s)
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings)


@contextmanager
def _dump_paused(item: pytest.Item) -> Iterator[None]:
    limit_s = _dump_after_s(item.config)
    if not limit_s or _FILE is None or _FILE not in item.config.stash:
        yield
        return
    now = monotonic()
    left_s = max(SOON_S, item.stash.get(_STARTED, now) + limit_s - now)
    faulthandler.cancel_dump_traceback_later()
    try:
        yield
    finally:
        ends = bool(_ini(item.config, "faulthandler_exit_on_timeout"))
        faulthandler.dump_traceback_later(left_s, file=item.config.stash[_FILE], exit=ends)


def _dump_after_s(config: pytest.Config) -> float:
    return float(_ini(config, "faulthandler_timeout") or 0.0)


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except (KeyError, ValueError):  # this pytest has no such value, or runs without the plugin
        return None


def explain(error: BaseException) -> None:
    """Add to the error of a time limit that the limit ended a measurement."""
    if isinstance(error, pytest.fail.Exception) and "pytest-timeout" in str(error):
        error.msg = f"{error.msg}\n\n{MEASURED}"
