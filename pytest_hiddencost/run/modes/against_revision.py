"""The mode of a run that compares with another revision, head and base interleaved."""

from __future__ import annotations

from dataclasses import replace

from pytest_hiddencost.core.errors import (
    HiddenCostError,
    InterleavingError,
    LacksFiles,
    NotInBase,
    SettingError,
)
from pytest_hiddencost.core.records import InterleavedComparison, Profile, Sampling, Verdict
from pytest_hiddencost.judge import reasons, verdicts
from pytest_hiddencost.run.modes.base import (
    Ending,
    FinishedRun,
    Judgement,
    Line,
    Measurement,
    Mode,
    Request,
    with_limits,
)
from pytest_hiddencost.run.modes.interleaving import Interleaving, lacks_files
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.workers.imported_code import SameCode
from pytest_hiddencost.workers.pairs import Pairs
from pytest_hiddencost.workers.revisions import resolve

UNJUDGED_SHARE = 0.25  # of max-time is enough for a call whose time only pairs judge
FIRST_SHARE = 0.8  # of a test's risk, for its first call


class AgainstRevision(Mode):
    """Lets pairs of worker processes measure each call again, and compares head with base.

    Raises ``SettingError`` if there is no base of that name.
    """

    def __init__(
        self, settings: Settings, collected: Collected, interleaving: Interleaving
    ) -> None:
        assert settings.against is not None
        assert settings.invocation is not None
        super().__init__(settings)
        self._collected = collected
        self._interleaving = interleaving
        self._labels: dict[str, list[str]] = {}
        try:
            self.base = resolve(
                settings.against, settings.invocation.root, settings.invocation.directory
            )
        except InterleavingError as error:
            raise SettingError(f"{settings.against_option}: {error}") from error

    def prepare(self) -> None:
        """Start the template of the worker processes."""
        self._interleaving.starter.prepare()

    def settle(self) -> None:
        """Wait for the template of the worker processes."""
        self.show("waiting for the template of the workers")
        self._interleaving.starter.settle()

    def measure(self, request: Request) -> Measurement:
        """Measure one call, once the template has started."""
        self.settle()
        return super().measure(request)

    def for_xdist_workers(self) -> dict[str, object] | None:
        """Give workers the base's tree. Raises ``SettingError``."""
        if self._settings.disable:
            return None
        try:
            return self._interleaving.shared(self.base)
        except HiddenCostError as error:
            raise SettingError(f"{self._settings.against_option}: {error}") from error

    def judge(self, measurement: Measurement) -> Judgement:
        """Check the budget, then compare head with base."""
        profile = with_limits(measurement)
        try:
            pairs = self._interleaving.of(self.base)  # without a tree no call could be compared
            found, comparison = self._compared(pairs, measurement)
        except HiddenCostError as error:
            return Judgement(profile, error=str(error))
        return Judgement(
            replace(profile, verdicts=(*profile.verdicts, *found), interleaved=comparison)
        )

    def _compared(
        self, pairs: Pairs, measurement: Measurement
    ) -> tuple[tuple[Verdict, ...], InterleavedComparison]:
        base = self.base
        try:
            calls = self._sharing(measurement.profile)
            return self._interleaving.compared(pairs, measurement, calls, self.show)
        except SameCode as error:
            raise InterleavingError(f"--hiddencost-against={base.name}: {error}") from error
        except LacksFiles as error:
            found = verdicts.new(lacks_files(error))
        except NotInBase as error:
            found = verdicts.new(reasons.NOT_IN_BASE.filled(why=error))
        except InterleavingError as error:
            share = measurement.profile.non_mac_share
            allowed = measurement.tolerances.timed("p50", self._settings.tolerance, share)
            found = verdicts.growth_open("p50", allowed, reasons.NO_PAIR.filled(why=error))
        return (found,), InterleavedComparison(base.name, base.commit)

    def _sharing(self, profile: Profile) -> float:
        """Return how many calls could have the share of this one of the session's risk.

        Tests divide the risk equally; their number is known before the first call, and to every
        pytest-xdist worker. The first call of a test has ``FIRST_SHARE`` of the test's, since most
        tests have one. The n-th has ``1 / (n (n - 1))`` of the rest: these sum to at most 1,
        however many calls follow.
        """
        labels = self._labels.setdefault(profile.test, [])
        if profile.label not in labels:  # a test that is run again has the same calls
            labels.append(profile.label)
        number = labels.index(profile.label) + 1
        share = FIRST_SHARE if number == 1 else (1.0 - FIRST_SHARE) / (number * (number - 1))
        return max(len(self._collected.ours), len(self._labels)) / share

    def _sampling(self, *, timed: bool) -> Sampling:
        sampling = self._settings.sampling
        if timed:
            return sampling
        return replace(sampling, max_time_ns=max(1, int(sampling.max_time_ns * UNJUDGED_SHARE)))

    def end(self, run: FinishedRun) -> Ending:
        """Add the remarks on the base's files to the summary."""
        return Ending(tuple(Line(text, "yellow") for text in self._interleaving.remarks()))

    def close(self) -> None:
        """End the worker processes; remove the base's tree."""
        self._interleaving.close()
