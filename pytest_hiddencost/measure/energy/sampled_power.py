"""Energy from a sensor that only knows power: a thread reads it, and adds power times time up."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter_ns

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.meter import named_errors

SAMPLING_S = 0.01
"""The time between two readings, unless the sensor is slower. A reading takes up to 1 ms."""

MOST_FAILURES = 3  # readings in a row; a bus may fail once


class SampledPower:
    """A meter that adds up the power of a sensor, which ``power_w`` returns in W.

    A thread reads it every 10 ms while the energy is measured. ``interval_s`` is the time between
    two new values of the sensor, if it is known. Otherwise a new value is one that differs from the
    value before, so that a slow sensor is noticed. Raises ``EnergyError`` if it cannot be read.
    """

    def __init__(
        self,
        name: str,
        domain: str,
        power_w: Callable[[], float],
        interval_s: float | None = None,
        now_ns: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self.name = name
        self.domain = domain
        self.updates = 0
        """The number of new values of the sensor so far."""

        self._read_w = power_w
        self._known = interval_s is not None
        self._interval_s = max(interval_s or 0.0, SAMPLING_S)
        self._now_ns = now_ns
        self._energy_nj = 0.0
        self._error: EnergyError | None = None
        self._over = Event()
        self._thread: Thread | None = None
        self._last_w, self._last_ns = self._power_w(), now_ns()

    def __enter__(self) -> SampledPower:
        self._over.clear()
        self._error = None
        self._last_w, self._last_ns = self._power_w(), self._now_ns()
        self._thread = Thread(target=self._run, name="hiddencost-power", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        failures = 0
        while not self._over.wait(self._interval_s):
            try:
                self.sample()
                failures = 0
            except EnergyError as error:  # noqa: PERF203  # the next reading may succeed
                failures += 1
                if failures == MOST_FAILURES:
                    self._error = error
                    return

    def sample(self) -> None:
        """Take a reading; power changes evenly from one reading to the next."""
        now_w, now_ns = self._power_w(), self._now_ns()
        self._energy_nj += (self._last_w + now_w) / 2 * (now_ns - self._last_ns)
        self.updates += self._known or now_w != self._last_w
        self._last_w, self._last_ns = now_w, now_ns

    def read_nj(self) -> float:
        """Return the energy in nJ up to the last reading. Raises the error of failed ones."""
        if self._error is not None:
            raise self._error
        return self._energy_nj

    def _power_w(self) -> float:
        with named_errors(self.name, "read"):
            return float(self._read_w())
