"""The object a test calls: measures a model, judges it against the test's budgets."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_hiddencost import budgets
from pytest_hiddencost.budgets import Budget
from pytest_hiddencost.errors import HiddenCostWarning, MeasurementError
from pytest_hiddencost.records import Device, Fitness, Profile, Sampling, Verdict
from pytest_hiddencost.tolerances import Tolerances

if TYPE_CHECKING:
    from typing import Protocol

    import torch

    from pytest_hiddencost.profiling import Call
    from pytest_hiddencost.profiling.measure import Pace
    from pytest_hiddencost.settings import Settings
    from pytest_hiddencost.taxonomy import Taxonomy

    class Turns(Pace, Protocol):
        """A pace that another process shares."""

        def done(self, profile: Profile) -> None:
            """This side is measured."""


# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
BRIEF = Sampling(max_time_ns=1_000_000)  # a call that a peer is not asked about
PAIRED_SHARE = 0.25  # of max_time is enough for a call that pairs of processes measure


class HiddenCost:
    """The ``hiddencost`` fixture of one test; ``profiles`` holds what it measured, in order."""

    def __init__(
        self,
        test: str,
        settings: Settings,
        test_budgets: tuple[Budget, ...],
        taxonomy: Taxonomy,
        device: Callable[[], torch.device],
        turns: Callable[[str, str], Turns | None] | None = None,
    ) -> None:
        self.profiles: list[Profile] = []
        self.planted: dict[str, dict[str, Profile]] = {}
        self._judged = 0
        self.device_record: Device | None = None
        self._test = test
        self._settings = settings
        self._budgets = test_budgets
        self._taxonomy = taxonomy
        self._device = device
        self._turns = turns

    def __call__(
        self,
        model: Callable[..., object],
        /,
        *args: object,
        label: str | None = None,
        grad_mode: str = "inference",
        **kwargs: object,
    ) -> Profile:
        """Measure ``model(*args, **kwargs)`` and check the test's budget for this label.

        ``model`` is any callable that runs torch operators. Several calls in one test need
        distinct labels. ``grad_mode``: ``"inference"``, ``"no_grad"`` or ``"grad"``. Broken limits
        fail the test when it ends. Raises what the model raises, and ``MeasurementError``.
        """
        name = self._checked_label(label)
        from pytest_hiddencost.profiling import Call, describe_device

        call = Call(model, args, kwargs, self._device(), grad_mode)
        budget = self._budget_for(name)
        if self._settings.peer:
            profile = self._as_peer(call, name)
        elif self._settings.replica is not None:
            profile = self._in_replica(call, name, self._settings.replica.plant)
        else:
            measured = self._measured(call, name, budget)
            profile = replace(measured, verdicts=self._verdicts(measured, budget))
            if self._settings.selftest:
                self.planted[name] = self._with_plants(call, name)
        if self.device_record is None:
            self.device_record = describe_device(call.device, self._settings.threads)
        self.profiles.append(profile)
        for note in profile.notes:
            warnings.warn(HiddenCostWarning(note), stacklevel=2)
        return profile

    def _as_peer(self, call: Call, label: str) -> Profile:
        """Measured in turns with another process; shortly where this call is not the one meant."""
        turns = self._turns(self._test, label) if self._turns is not None else None
        measured = self._measured(call, label, turns=turns)
        if turns is not None:
            turns.done(measured)
        return measured

    def _measured(
        self, call: Call, label: str, budget: Budget | None = None, turns: Turns | None = None
    ) -> Profile:
        from pytest_hiddencost.profiling import measure

        judged = budget is not None and budget.timed and not self._workers_objection()

        def still_open(profile: Profile) -> bool:
            return budgets.undecided(self._verdicts(profile, budget))

        measured = measure(
            call,
            self._sampling(judged=judged, in_turns=turns is not None),
            threads=self._settings.threads,
            taxonomy=self._taxonomy,
            undecided=still_open if judged else None,
            pace=turns,
        )
        return replace(measured, test=self._test, label=label, fitness=self._fitness(measured))

    def _sampling(self, *, judged: bool, in_turns: bool) -> Sampling:
        """``judged``: limits hinge on its time; ``in_turns``: another process asks for it."""
        sampling = self._settings.sampling
        if self._settings.peer and not in_turns:
            return BRIEF
        if self._settings.against is not None and not judged:
            return replace(sampling, max_time_ns=max(1, int(sampling.max_time_ns * PAIRED_SHARE)))
        return sampling

    def _in_replica(self, call: Call, label: str, plant: str) -> Profile:
        """A fresh launch measures, and judges nothing."""
        from pytest_hiddencost.profiling.plants import planted

        return self._measured(planted(call, plant) if plant else call, label)

    def _with_plants(self, call: Call, label: str) -> dict[str, Profile]:
        from pytest_hiddencost.profiling.plants import PLANTS, planted

        return {plant: self._measured(planted(call, plant), label) for plant in PLANTS}

    def tolerances(self, label: str) -> Tolerances:
        """By how much this call may grow against its baseline."""
        budget = self._budget_for(label)
        return Tolerances() if budget is None else budget.regression

    def replace_profiles(self, judged: Callable[[Profile, Tolerances], Profile]) -> None:
        """Let ``judged`` add its verdicts to the profiles that it has not seen yet."""
        for i in range(self._judged, len(self.profiles)):
            self._judged = i + 1  # what raises does so once
            allowed = self.tolerances(self.profiles[i].label)
            self.profiles[i] = judged(self.profiles[i], allowed)

    def _checked_label(self, label: object) -> str:
        if label is not None and not isinstance(label, str):
            raise MeasurementError(f"hiddencost(..., label=...): expected a string, got {label!r}")
        name = label or ""
        if any(profile.label == name for profile in self.profiles):
            which = f"label {name!r}" if name else "no label"
            raise MeasurementError(
                f"two hiddencost calls in {self._test} have {which}: give each call a label of its "
                'own, hiddencost(model, x, label="...")'
            )
        return name

    def _budget_for(self, label: str) -> Budget | None:
        return next((b for b in self._budgets if b.label in (None, label)), None)

    def _fitness(self, measured: Profile) -> Fitness:
        objection = self._workers_objection()  # it explains whatever load was seen
        return (
            replace(measured.fitness, fit=False, reasons=(objection,))
            if objection
            else measured.fitness
        )

    def _workers_objection(self) -> str:
        workers = self._settings.workers
        return f"other workers running (pytest-xdist, {workers} workers)" if workers > 1 else ""

    def _verdicts(self, profile: Profile, budget: Budget | None) -> tuple[Verdict, ...]:
        return () if budget is None else budgets.check(profile, budget, self._taxonomy)

    def unused_budgets(self) -> list[Budget]:
        """Budgets that spoke of no call: each would be a limit that checks nothing."""
        labels = {profile.label for profile in self.profiles}
        unused, shadowed = [], set()
        for budget in self._budgets:
            if budget.label in shadowed or None in shadowed:
                break
            if budget.label is not None and budget.label not in labels:
                unused.append(budget)
            shadowed.add(budget.label)
        return unused
