"""Energy meters: counters of the energy that a part of the device has used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from pytest_hiddencost.core.errors import EnergyError

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
OTHER_METER = "use another meter (hook pytest_hiddencost_energy_meter)"


class EnergyMeter(Protocol):
    """A counter of energy; ``domain`` is the part of the device that it covers.

    The domain is ``package``, ``board``, ``gpu`` or the name of a power rail. A meter that is a
    context manager as well is entered before the first reading, and left after the last one. Its
    energy should grow only when it has a new value: the time between two of them is measured.
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
    """Keep a meter running that has to be started and stopped; a counter always runs.

    Raises ``EnergyError`` if the meter cannot be started or stopped. An error of the block counts
    for more than one of the meter.
    """
    if not isinstance(meter, AbstractContextManager):
        yield
        return
    with named_errors(meter.name, "started"):
        meter.__enter__()
    try:
        yield
    except BaseException:
        with suppress(Exception):
            _ = meter.__exit__(*sys.exc_info())  # the error stays, whatever the meter returns
        raise
    with named_errors(meter.name, "stopped"):
        meter.__exit__(None, None, None)


@contextmanager
def named_errors(name: str, done: str) -> Iterator[None]:
    """Turn an error of a meter, which may be the user's own, into ``EnergyError`` with its name."""
    try:
        yield
    except EnergyError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise EnergyError(f"{name} cannot be {done}: {why:.200}", OTHER_METER) from error


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
