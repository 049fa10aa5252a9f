"""A simulated device: its clock, its power at rest and at work, and its meter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pytest_hiddencost.measure.energy.energy_pass import MeterClock
from pytest_hiddencost.measure.energy.sampled_power import SAMPLING_S, SampledPower

US, MS, S = 10**3, 10**6, 10**9
SAMPLE_NS = round(SAMPLING_S * 1e9)


class MeteredMachine:
    """A device of ``idle_w`` and ``busy_w`` with calls of ``call_ns``.

    Its meter takes a new value every ``update_ns``, in steps of ``step_nj``. ``loads`` gives the
    power of each call relative to ``busy_w``.
    """

    name = "bench meter"
    domain = "board"

    def __init__(
        self,
        *,
        idle_w: float = 2.0,
        busy_w: float = 10.0,
        call_ns: int = 200 * US,
        update_ns: int = MS,
        step_nj: float = 1.0,
        loads: Iterator[float] | None = None,
    ) -> None:
        self.idle_w, self.busy_w, self.call_ns = idle_w, busy_w, call_ns
        self.update_ns, self.step_nj = update_ns, step_nj
        self.now_ns, self.calls, self.reads = 0, 0, 0
        self.stalls_at_ns = 10**18
        self.read: Callable[[float], float] = lambda energy_nj: energy_nj
        self._loads = loads
        self._energy_nj = self._shown_nj = 0.0

    @property
    def clock(self) -> MeterClock:
        return MeterClock(lambda: self.now_ns, lambda seconds: self._pass(round(seconds * 1e9)))

    def call(self) -> None:
        self.calls += 1
        load = 1.0 if self._loads is None else next(self._loads)
        self._pass(self.call_ns, self.busy_w * load)

    def read_nj(self) -> float:
        self.reads += 1
        self._pass(US)
        return self.read(self._shown_nj // self.step_nj * self.step_nj)

    def _pass(self, ns: int, power_w: float | None = None) -> None:
        power_w = self.idle_w if power_w is None else power_w
        update_ns = (self.now_ns + ns) // self.update_ns * self.update_ns
        if self.now_ns < update_ns <= self.stalls_at_ns:
            self._shown_nj = self._energy_nj + power_w * (update_ns - self.now_ns)
        self._energy_nj += power_w * ns
        self.now_ns += ns


class SensedMachine(MeteredMachine):
    """A device with a sensor of power, which is read every 10 ms.

    The sensor takes a new value every ``update_ns``, which differs from the true power by ``noise``
    in turn upwards and downwards. ``interval_s`` is the time that its driver tells.
    """

    def __init__(
        self, *, noise: float = 0.002, interval_s: float | None = None, **machine: Any
    ) -> None:
        super().__init__(**machine)
        self.noise = noise
        self._shown_w = self.idle_w
        self.sensor = _Unthreaded(
            "bench sensor", "board", lambda: self._shown_w, interval_s, lambda: self.now_ns
        )

    def _pass(self, ns: int, power_w: float | None = None) -> None:
        end_ns = self.now_ns + ns
        while (next_ns := (self.now_ns // SAMPLE_NS + 1) * SAMPLE_NS) <= end_ns:
            super()._pass(next_ns - self.now_ns, power_w)
            if next_ns % self.update_ns == 0 and next_ns <= self.stalls_at_ns:
                self.noise = -self.noise
                self._shown_w = (self.idle_w if power_w is None else power_w) * (1 + self.noise)
            self.sensor.sample()
        super()._pass(end_ns - self.now_ns, power_w)


class _Unthreaded(SampledPower):
    """A sensor that the machine samples as its clock goes on."""

    def __enter__(self) -> SampledPower:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
