"""Energy from a sensor that only knows power: a thread reads it, and adds power times time up."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import perf_counter_ns

from pytest_hiddencost.core.errors import EnergyError

SAMPLING_S = 0.01
"""The time between two readings, unless the sensor is slower. A reading takes up to 1 ms."""


class SampledPower:
    """A meter that reads ``power_w`` every ``interval_s`` while it is entered.

    The energy grows once per reading, so a window is known to within one reading.
    """

    def __init__(
        self,
        name: str,
        domain: str,
        power_w: Callable[[], float],
        interval_s: float = SAMPLING_S,
        now_ns: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self.name = name
        self.domain = domain
        self._power_w = power_w
        self._interval_s = max(interval_s, SAMPLING_S)
        self._now_ns = now_ns
        self._energy_nj = 0.0
        self._error: EnergyError | None = None
        self._over = Event()
        self._thread: Thread | None = None
        self._last_w, self._last_ns = power_w(), now_ns()

    def __enter__(self) -> SampledPower:
        self._over.clear()
        self._last_w, self._last_ns = self._power_w(), self._now_ns()
        self._thread = Thread(target=self._run, name="hiddencost-power", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.wait(self._interval_s):
                self.sample()
        except EnergyError as error:
            self._error = error

    def sample(self) -> None:
        """Take a reading; power changes evenly from one reading to the next."""
        now_w, now_ns = self._power_w(), self._now_ns()
        self._energy_nj += (self._last_w + now_w) / 2 * (now_ns - self._last_ns)
        self._last_w, self._last_ns = now_w, now_ns

    def read_nj(self) -> float:
        """Return the energy in nJ up to the last reading. Raises the error of a failed one."""
        if self._error is not None:
            raise self._error
        return self._energy_nj
