"""torch's number of threads before the first test, whichever test that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_hiddencost.run.modes.base import Mode
    from pytest_hiddencost.run.selection import Collected


class ThreadsAtStart:
    """The plugin object that tells a mode the number of threads before any test runs.

    A test may change it. The device's key must not depend on the test that measures first.
    """

    def __init__(self, mode: Mode, collected: Collected) -> None:
        self._mode = mode
        self._collected = collected

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Take the number, if a test of this run is likely to measure."""
        if self._collected.ours:
            from pytest_hiddencost.measure import intra_op_threads

            self._mode.threads_at_start = intra_op_threads()
