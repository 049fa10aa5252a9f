"""The gate of one run: each profile against its baseline, if it has one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_hiddencost.records import Comparison, Device, Profile, Verdict
from pytest_hiddencost.regression.baselines import Baselines, split_node_id
from pytest_hiddencost.regression.compare import (
    Launcher,
    Plan,
    compare,
    new_verdict,
    recorded_elsewhere,
)
from pytest_hiddencost.regression.entries import Entry
from pytest_hiddencost.regression.replicas import Replicas
from pytest_hiddencost.tolerances import Tolerances


class Gate:
    """Judges profiles; ``tests`` are all that were selected, whether they have a baseline or not.

    Reading a baseline may raise ``BaselineError``.
    """

    def __init__(
        self,
        baselines: Baselines,
        device: Device,
        tests: Iterable[str],
        replicas: Replicas | None,
        *,
        tolerance: float,
        confidence: float,
    ) -> None:
        self._baselines = baselines
        self._device = device
        self._tolerance = tolerance
        self._confidence = confidence
        self._tests = tuple(tests)
        self._replicas = replicas
        self._calls: int | None = None

    def entry(self, profile: Profile) -> Entry | None:
        """What was recorded of the same call."""
        module, test = split_node_id(profile.test)
        return self._baselines.entry(module, test, profile.label)

    def judged(self, profile: Profile, tolerances: Tolerances, plant: str = "") -> Profile:
        """The profile with verdicts on its regression added, and the comparison."""
        entry = self.entry(profile)
        if entry is None:
            return _with(profile, (new_verdict(self._why_new(profile)),), None)
        return self.against(profile, entry, tolerances, plant)

    def against(
        self, profile: Profile, entry: Entry, tolerances: Tolerances, plant: str = ""
    ) -> Profile:
        """The same, against this entry."""
        plan = Plan(
            tolerance=self._tolerance,
            confidence=self._confidence,
            calls=self._recorded_calls(),
            tolerances=tolerances,
            launcher=self._launcher(profile, plant),
        )
        verdicts, comparison = compare(profile, entry, plan)
        return _with(profile, verdicts, comparison)

    def _recorded_calls(self) -> int:
        """Calls of the session that have a baseline: they share the risk of a false alarm."""
        if self._calls is None:
            self._calls = sum(
                test in names
                for module, names in _by_module(self._tests).items()
                for test, _ in self._baselines.entries(module)
            )
        return max(1, self._calls)

    def _launcher(self, profile: Profile, plant: str) -> Launcher | None:
        if self._replicas is None:
            return None
        replicas = self._replicas

        def launch(count: int) -> Sequence[Profile]:
            found = [replicas.launch([profile.test], plant) for _ in range(count)]
            key = (profile.test, profile.label)
            return [profiles[key] for profiles in found if key in profiles]

        return launch

    def _why_new(self, profile: Profile) -> str:
        module, test = split_node_id(profile.test)
        for device, entry in self._baselines.elsewhere(module, test, profile.label):
            differences = _differences(self._device, device)
            if differences:
                ours, theirs = (" and ".join(part) for part in zip(*differences, strict=True))
                return (
                    f"no baseline for {ours}; recorded under {theirs}: "
                    f"{recorded_elsewhere(profile, entry)}"
                )
        return "no baseline on this device: record it with --hiddencost-update-new"


def _with(
    profile: Profile, verdicts: tuple[Verdict, ...], comparison: Comparison | None
) -> Profile:
    return replace(profile, verdicts=(*profile.verdicts, *verdicts), comparison=comparison)


def _by_module(tests: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node_id in tests:
        module, test = split_node_id(node_id)
        found.setdefault(module, set()).add(test)
    return found


def _differences(ours: Device, theirs: Device) -> list[tuple[str, str]]:
    """What tells two like devices apart, ours beside theirs."""
    found = []
    releases = [".".join(device.torch.split("+")[0].split(".")[:2]) for device in (ours, theirs)]
    if releases[0] != releases[1]:
        found.append((f"torch {releases[0]}", f"torch {releases[1]}"))
    if ours.threads != theirs.threads:
        found.append((f"{ours.threads} threads", f"{theirs.threads} threads"))
    if ours.cores != theirs.cores:
        found.append((f"{ours.cores} cores", f"{theirs.cores} cores"))
    return found
