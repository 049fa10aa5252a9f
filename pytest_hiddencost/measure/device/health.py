"""Device health: whether the device was fit to be measured, with reasons and remedies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_hiddencost.core.records import DeviceFigures, DeviceHealth
from pytest_hiddencost.measure.device import health_rules
from pytest_hiddencost.measure.device.health_rules import KNOWN, REMARKS, REMEDIES
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
        self._seen: dict[health_rules.HealthRule, dict[str, None]] = {rule: {} for rule in REMEDIES}

    def health(self) -> DeviceHealth:
        """Take a reading; return the record of the device from the creation of this object on."""
        objections = self.objections()  # takes the reading, so it comes first
        return DeviceHealth(
            fit=not objections,
            reasons=objections,
            remarks=self.remarks(),
            unknown=self.unknown(),
            figures=self.figures(),
            remedies=self.remedies(),
        )

    def objections(self) -> tuple[str, ...]:
        """Take a reading; return why the times taken so far are unusable, most telling first.

        An objection stays once it was seen: the heat may be gone at the next reading, but the
        times were taken in it. Load and steal are averages over the whole time, so they may go.
        """
        self._last = self._readers.read(self._clocks())
        self._load_objection = self._load.objection(self._threads)
        for rule in REMEDIES:
            found = dict.fromkeys(rule(self._first, self._last))
            if found or rule is health_rules.stolen:
                self._seen[rule] = found
        load = [self._load_objection] if self._load_objection else []
        return (*load, *(text for found in self._seen.values() for text in found))

    def remedies(self) -> tuple[str, ...]:
        """Return the remedies for the current objections, in their order, each once."""
        alone = self._threads == 1
        remedy = health_rules.LOAD_REMEDY_ONE_THREAD if alone else health_rules.LOAD_REMEDY
        load = [remedy] if self._load_objection else []
        found = (REMEDIES[rule] for rule, texts in self._seen.items() if texts)
        return tuple(dict.fromkeys([*load, *found]))

    def remarks(self) -> tuple[str, ...]:
        """Return states that matter to a reader, although no verdict depends on them."""
        texts = (text for remark in REMARKS for text in remark(self._first, self._last))
        return tuple(dict.fromkeys(texts))

    def unknown(self) -> tuple[str, ...]:
        """Return the names of the states that could not be judged at the last reading."""
        first, last = self._first, self._last
        names = [] if self._load.cores() is not None else ["load"]
        if health_rules.stolen_share(first, last) is None:
            names.append("steal")
        names += [name for name, known in KNOWN.items() if not (known(first) and known(last))]
        if self._readers.is_raspberry_pi and None in (first.throttled, last.throttled):
            names.append("vcgencmd")
        if self._device_type != "cpu":
            names.append(f"{self._device_type} clocks")
        return tuple(names)

    def figures(self) -> DeviceFigures:
        """Return the figures of the time between the first and the last reading."""
        figures = (health_rules.stolen_share, health_rules.waiting_share, health_rules.switch_rate)
        return DeviceFigures(*(figure(self._first, self._last) for figure in figures))
