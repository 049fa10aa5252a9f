"""What a run has measured so far: profiles, selftests, outcomes, the device, the collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.records import CallKey, Device, Profile
from pytest_hiddencost.judge.selftest import SelfTest
from pytest_hiddencost.run.modes.base import FinishedRun, Judgement
from pytest_hiddencost.run.selection import Collected, Outcomes, coverage_of, whole_suite

PROFILES = pytest.StashKey[dict[CallKey, Profile]]()
"""Where a run keeps what it measured, by test id and label: ``config.stash[PROFILES]``."""
ATTRIBUTE = "hiddencost"  # of a report, and of a pytest-xdist worker's output


@dataclass(frozen=True)
class Reported:
    """What travels on a report, as plain data, to wherever reports are read."""

    device: Device
    profiles: tuple[Profile, ...]
    selftests: tuple[SelfTest, ...] = ()


@dataclass(frozen=True)
class WorkerCollection:
    """What a pytest-xdist worker collected, for its controller."""

    collected: tuple[str, ...]
    failed: bool


def attach(report: pytest.TestReport, device: Device, judgements: Sequence[Judgement]) -> None:
    """Let judgements travel on the report."""
    reported = Reported(
        device,
        tuple(judgement.profile for judgement in judgements),
        tuple(selftest for judgement in judgements for selftest in judgement.selftests),
    )
    setattr(report, ATTRIBUTE, encode(reported))


class Results:
    """Collects what reports bring, of this process or of pytest-xdist workers."""

    def __init__(self, config: pytest.Config, collected: Collected) -> None:
        self.profiles = config.stash.setdefault(PROFILES, {})
        self.device: Device | None = None
        self.selftests: list[SelfTest] = []
        self.outcomes = Outcomes()
        self._config = config
        self._collected = collected
        self._by_workers: set[str] = set()

    def take(self, report: pytest.TestReport) -> None:
        """Take in one report: how the phase ended, and what it brings."""
        self.outcomes.add(report)
        data: Any = getattr(report, ATTRIBUTE, None)
        if data is None:
            return
        reported = decode(Reported, data, "report")
        self.device = reported.device
        self.selftests += reported.selftests
        for profile in reported.profiles:
            self.profiles[profile.test, profile.label] = profile

    def take_collection(self, node: Any) -> None:
        """Take in what a pytest-xdist worker collected."""
        data = getattr(node, "workeroutput", {}).get(ATTRIBUTE)
        if data is not None:
            found = decode(WorkerCollection, data, "worker")
            self._by_workers.update(found.collected)
            self._collected.collect_failed |= found.failed

    def give_collection(self, output: dict[str, Any]) -> None:
        """Tell the controller what this pytest-xdist worker collected."""
        collected = tuple(sorted(self._own_collection))
        output[ATTRIBUTE] = encode(WorkerCollection(collected, self._collected.collect_failed))

    @property
    def _own_collection(self) -> set[str]:
        return {*self._collected.ids, *self._collected.deselected}

    def in_order(self) -> list[Profile]:
        """Return the profiles in the order of a plain run, whichever worker finished first."""
        order = {test: i for i, test in enumerate(self._collected.ids)}
        found = list(self.profiles.values())
        return sorted(found, key=lambda profile: order.get(profile.test, len(order)))

    def finished(self) -> FinishedRun:
        """Return what the run has at its end."""
        coverage = coverage_of(
            self._config,
            self._own_collection | self._by_workers,
            self.profiles,
            self.outcomes.of("passed"),
            collect_failed=self._collected.collect_failed,
        )
        return FinishedRun(
            profiles=self.in_order(),
            device=self.device,
            coverage=coverage,
            failed=self.outcomes.of("failed"),
            selftests=self.selftests,
            whole=whole_suite(self._config) and not self._collected.deselected,
            alone=not self._by_workers,
        )
