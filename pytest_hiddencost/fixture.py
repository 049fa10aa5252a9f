"""The object a test calls: measures a model, judges it against the test's budgets."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_hiddencost import budgets
from pytest_hiddencost.budgets import Budget
from pytest_hiddencost.errors import HiddenCostWarning, MeasurementError
from pytest_hiddencost.records import Device, Fitness, Profile, Verdict

if TYPE_CHECKING:
    import torch

    from pytest_hiddencost.settings import Settings
    from pytest_hiddencost.taxonomy import Taxonomy

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True


class HiddenCost:
    """The ``hiddencost`` fixture of one test; ``profiles`` holds what it measured, in order."""

    def __init__(
        self,
        test: str,
        settings: Settings,
        test_budgets: tuple[Budget, ...],
        taxonomy: Taxonomy,
        device: Callable[[], torch.device],
    ) -> None:
        self.profiles: list[Profile] = []
        self.device_record: Device | None = None
        self._test = test
        self._settings = settings
        self._budgets = test_budgets
        self._taxonomy = taxonomy
        self._device = device

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
        from pytest_hiddencost.profiling import Call, describe_device, measure

        name = self._checked_label(label)
        call = Call(model, args, kwargs, self._device(), grad_mode)
        budget = self._budget_for(name)
        judged = budget is not None and budget.timed and not self._workers_objection()

        def still_open(profile: Profile) -> bool:
            return budgets.undecided(self._verdicts(profile, budget))

        threads = self._settings.threads
        measured = measure(
            call,
            self._settings.sampling,
            threads=threads,
            taxonomy=self._taxonomy,
            undecided=still_open if judged else None,
        )
        if self.device_record is None:
            self.device_record = describe_device(call.device, threads)
        profile = replace(measured, test=self._test, label=name, fitness=self._fitness(measured))
        profile = replace(profile, verdicts=self._verdicts(profile, budget))
        self.profiles.append(profile)
        for note in profile.notes:
            warnings.warn(HiddenCostWarning(note), stacklevel=2)
        return profile

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
        return Fitness(False, (objection,)) if objection else measured.fitness

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
