"""Energy meters: counters of the energy that a part of the device has used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol


class EnergyMeter(Protocol):
    """A counter of energy; ``domain`` is the part of the device that it covers.

    The domain is ``package``, ``board``, ``gpu`` or the name of a power rail. A meter that is a
    context manager as well is entered before the first reading, and left after the last one.
    """

    @property
    def name(self) -> str:
        """The meter in messages and reports."""

    @property
    def domain(self) -> str:
        """The part of the device that the meter covers."""

    def read_nj(self) -> float:
        """Return the energy in nJ since any fixed moment; it never falls."""


@contextmanager
def running(meter: EnergyMeter) -> Iterator[None]:
    """Keep a meter running that has to be started and stopped; a counter always runs."""
    entered = meter if isinstance(meter, AbstractContextManager) else nullcontext()
    with entered:
        yield


class Unwrapped:
    """A counter that begins anew from 0 after ``range_uj``, read often enough to notice."""

    def __init__(self, range_uj: int) -> None:
        self._range_uj = range_uj
        self._last_uj: int | None = None
        self._total_uj = 0

    def counted_uj(self, value_uj: int) -> int:
        """Take in the counter's value; return the energy in uJ since the first one."""
        if self._last_uj is not None:
            grown_uj = value_uj - self._last_uj
            self._total_uj += grown_uj if grown_uj >= 0 else grown_uj + self._range_uj
        self._last_uj = value_uj
        return self._total_uj
