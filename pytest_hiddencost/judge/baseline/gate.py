"""The gate of one run: each profile against its baseline, if it has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

from pytest_hiddencost.core.records import Comparison, Device, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.core.units import format_growth
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.comparison import BaselinePlan, CallRelauncher, compare
from pytest_hiddencost.judge.baseline.entries import Entry
from pytest_hiddencost.judge.baseline.nearby import recorded_nearby
from pytest_hiddencost.judge.baseline.recording import Relauncher
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id
from pytest_hiddencost.judge.reasons import Reason


@dataclass(frozen=True)
class Gate:
    """Judges profiles; ``tests`` are all selected ones, with a baseline or without.

    ``root`` is pytest's rootdir; without it no other folders are searched for baselines.
    ``relauncher`` is None if the run confirms no times in fresh processes, ``energy_relauncher`` if
    it confirms no energies. Methods that read a baseline raise ``BaselineError``.
    """

    baselines: Baselines
    device: Device
    tests: Sequence[str]
    relauncher: Relauncher | None
    tolerance: float
    confidence: float
    root: Path | None = None
    energy_relauncher: Relauncher | None = None

    def entry(self, profile: Profile) -> Entry | None:
        """Return the recorded entry of the same call."""
        return self.baselines.entry(*split_node_id(profile.test), profile.label)

    def judged(self, profile: Profile, tolerances: Tolerances, injection: str = "") -> Profile:
        """Return the profile with verdicts on its regression added, and the comparison."""
        entry = self.entry(profile)
        if entry is None:
            return _with(profile, (verdicts.new(self._why_new(profile)),), None)
        return self.against(profile, entry, tolerances, injection)

    def against(
        self, profile: Profile, entry: Entry, tolerances: Tolerances, injection: str = ""
    ) -> Profile:
        """Return the profile with verdicts against this entry."""
        calls = max(1, self.recorded_calls)
        plan = BaselinePlan(
            self.tolerance,
            self.confidence,
            calls,
            tolerances,
            _launcher(self.relauncher, profile, injection),
            _launcher(self.energy_relauncher, profile, injection),
        )
        return _with(profile, *compare(profile, entry, plan))

    @cached_property
    def recorded_calls(self) -> int:
        """The calls of the session with a baseline, which share the risk of a false alarm.

        A recorded energy counts as one more call, since it has a check of its own.
        """
        selected = {split_node_id(test) for test in self.tests}
        return sum(
            1 + bool(entry.energy_nj)
            for module in {module for module, _ in selected}
            for (test, _), entry in self.baselines.entries(module).items()
            if (module, test) in selected
        )

    def _why_new(self, profile: Profile) -> Reason:
        if self.root is not None:
            folder = self.baselines.root
            near = recorded_nearby(folder, self.root, self.device, profile.test, profile.label)
            if near is not None:
                return reasons.RECORDED_IN_FOLDER.filled(
                    own=folder, other=near.folder, option=near.option
                )
        call = (*split_node_id(profile.test), profile.label)
        for device, entry in self.baselines.elsewhere(*call):
            words = zip(_words(self.device), _words(device), strict=True)
            if differing := [pair for pair in words if pair[0] != pair[1]]:
                own, other = map(" and ".join, zip(*differing, strict=True))
                growth = profile.latency.median_ns / median(entry.p50_ns) - 1.0
                return reasons.RECORDED_ELSEWHERE.filled(
                    own=own, other=other, growth=format_growth(growth)
                )
        return reasons.NO_BASELINE


def _launcher(
    relauncher: Relauncher | None, profile: Profile, injection: str
) -> CallRelauncher | None:
    if relauncher is None:
        return None

    def launch(count: int) -> Sequence[Profile]:
        found = [relauncher.launch([profile.test], injection) for _ in range(count)]
        key = profile.key
        return [profiles[key] for profiles in found if key in profiles]

    return launch


def _with(profile: Profile, found: tuple[Verdict, ...], comparison: Comparison | None) -> Profile:
    return replace(profile, verdicts=(*profile.verdicts, *found), comparison=comparison)


def _words(device: Device) -> list[str]:
    """Return the properties that may differ between like devices, in words."""
    release = ".".join(device.torch.split("+")[0].split(".")[:2])
    return [f"torch {release}", f"{device.threads} threads", f"{device.cores} cores"]
