"""The gate of one run: each profile against its baseline, if it has one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_hiddencost.core.records import Comparison, Device, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.judge.baseline.comparison import Launcher, Plan, compare, growth_elsewhere
from pytest_hiddencost.judge.baseline.entries import Entry
from pytest_hiddencost.judge.baseline.recording import Relauncher
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id
from pytest_hiddencost.judge.reasons import Reason


@dataclass(frozen=True)
class Gate:
    """Judges profiles; ``tests`` are all that were selected, with a baseline or without.

    ``relauncher``: None where no fresh process can be started. Reading a baseline may raise
    ``BaselineError``.
    """

    baselines: Baselines
    device: Device
    tests: Sequence[str]
    relauncher: Relauncher | None
    tolerance: float
    confidence: float

    def entry(self, profile: Profile) -> Entry | None:
        """Return the recorded entry of the same call."""
        module, test = split_node_id(profile.test)
        return self.baselines.entry(module, test, profile.label)

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
        plan = Plan(
            tolerance=self.tolerance,
            confidence=self.confidence,
            calls=max(1, self._recorded_calls),
            tolerances=tolerances,
            launcher=self._launcher(profile, injection),
        )
        return _with(profile, *compare(profile, entry, plan))

    @cached_property
    def _recorded_calls(self) -> int:
        """Calls of the session that have a baseline: they share the risk of a false alarm."""
        return sum(
            test in names
            for module, names in _by_module(self.tests).items()
            for test, _ in self.baselines.entries(module)
        )

    def _launcher(self, profile: Profile, injection: str) -> Launcher | None:
        if self.relauncher is None:
            return None
        relauncher = self.relauncher

        def launch(count: int) -> Sequence[Profile]:
            found = [relauncher.launch([profile.test], injection) for _ in range(count)]
            key = (profile.test, profile.label)
            return [profiles[key] for profiles in found if key in profiles]

        return launch

    def _why_new(self, profile: Profile) -> Reason:
        module, test = split_node_id(profile.test)
        for device, entry in self.baselines.elsewhere(module, test, profile.label):
            differences = _differences(self.device, device)
            if differences:
                own, other = (" and ".join(part) for part in zip(*differences, strict=True))
                return reasons.RECORDED_ELSEWHERE.filled(
                    own=own, other=other, growth=growth_elsewhere(profile, entry)
                )
        return reasons.NO_BASELINE


def _with(profile: Profile, found: tuple[Verdict, ...], comparison: Comparison | None) -> Profile:
    return replace(profile, verdicts=(*profile.verdicts, *found), comparison=comparison)


def _by_module(tests: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node_id in tests:
        module, test = split_node_id(node_id)
        found.setdefault(module, set()).add(test)
    return found


def _differences(own: Device, other: Device) -> list[tuple[str, str]]:
    """What tells two like devices apart, each time own value and other value."""
    found = []
    releases = [".".join(device.torch.split("+")[0].split(".")[:2]) for device in (own, other)]
    if releases[0] != releases[1]:
        found.append((f"torch {releases[0]}", f"torch {releases[1]}"))
    if own.threads != other.threads:
        found.append((f"{own.threads} threads", f"{other.threads} threads"))
    if own.cores != other.cores:
        found.append((f"{own.cores} cores", f"{other.cores} cores"))
    return found
