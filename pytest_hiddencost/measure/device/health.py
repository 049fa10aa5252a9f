"""Device health: whether the device was fit to be measured, why not, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

from pytest_hiddencost.core.records import DeviceFigures
from pytest_hiddencost.measure.device.health_rules import (
    KNOWN,
    LOAD_REMEDY,
    REMARKS,
    REMEDIES,
    HealthRule,
    stolen,
    stolen_share,
    switch_rate,
    waiting_share,
)
from pytest_hiddencost.measure.device.load import OtherLoad
from pytest_hiddencost.measure.device.readings import Clocks
from pytest_hiddencost.measure.device.sysfs import SysfsReaders, read_clocks

ROOT = Path("/")  # of /proc and /sys


class DeviceWatch:
    """Watches the device, from the creation of this object on, for a call with ``threads``.

    ``root`` is the folder of ``/proc`` and ``/sys``. ``throttled`` returns the output of
    ``vcgencmd get_throttled``; it is called on a Raspberry Pi only.
    """

    def __init__(
        self,
        threads: int,
        *,
        device_type: str = "cpu",
        root: Path | None = None,
        throttled: Callable[[], str | None] | None = None,
        clocks: Callable[[], Clocks] = read_clocks,
    ) -> None:
        self._threads = threads
        self._device_type = device_type
        self._clocks = clocks
        self._load = OtherLoad()
        self._readers = SysfsReaders(root or ROOT, throttled)
        self._first = self._last = self._readers.read(clocks())
        self._load_objection: str | None = None
        self._seen: dict[HealthRule, tuple[str, ...]] = {}

    def objections(self) -> tuple[str, ...]:
        """Take a reading; return why the times taken so far are unusable, most telling first.

        An objection stays once it was seen: the heat may be gone at the next reading, but the
        times were taken in it. Load and steal are averages over the whole time, so they may go.
        """
        self._last = self._readers.read(self._clocks())
        self._load_objection = self._load.objection(self._threads)
        for rule in REMEDIES:
            found = rule(self._first, self._last)
            if found or rule is stolen:
                self._seen[rule] = found
        load = [self._load_objection] if self._load_objection else []
        return (*load, *chain.from_iterable(self._seen.get(rule, ()) for rule in REMEDIES))

    def remedies(self) -> tuple[str, ...]:
        """Return what to do about the objections of the last reading, in their order, once each."""
        load = [LOAD_REMEDY] if self._load_objection else []
        found = (remedy for rule, remedy in REMEDIES.items() if self._seen.get(rule))
        return tuple(dict.fromkeys([*load, *found]))

    def remarks(self) -> tuple[str, ...]:
        """Return what a reader should know although no verdict depends on it."""
        found = (remark(self._first, self._last) for remark in REMARKS)
        return tuple(chain.from_iterable(found))

    def unknown(self) -> tuple[str, ...]:
        """Return the names of the states that could not be judged at the last reading."""
        names = [] if self._load.cores() is not None else ["load"]
        if stolen_share(self._first, self._last) is None:
            names.append("steal")
        for name, known in KNOWN.items():
            if not (known(self._first) and known(self._last)):
                names.append(name)
        if self._readers.is_raspberry_pi and None in (self._first.throttled, self._last.throttled):
            names.append("vcgencmd")
        if self._device_type != "cpu":
            names.append(f"{self._device_type} clocks")
        return tuple(names)

    def figures(self) -> DeviceFigures:
        """Return the figures of the time between the first and the last reading."""
        return DeviceFigures(
            stolen_share(self._first, self._last),
            waiting_share(self._first, self._last),
            switch_rate(self._first, self._last),
        )
