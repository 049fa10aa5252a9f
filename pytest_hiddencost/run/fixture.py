"""The object that a test calls to measure a model and check its budget."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from pytest_hiddencost.core.errors import HiddenCostWarning, MeasurementError
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.run import markers
from pytest_hiddencost.run.modes.base import Measurement, Mode, Request, with_limits
from pytest_hiddencost.run.time_limits import explain

if TYPE_CHECKING:
    import torch

    from pytest_hiddencost.core.taxonomy import Taxonomy

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True


class HiddenCost:
    """The ``hiddencost`` fixture of one test; ``measurements`` holds what it measured, in order.

    ``started_s`` is the start of the test's setup on the clock ``monotonic``; by default, now.
    """

    def __init__(
        self,
        test: str,
        mode: Mode,
        budgets: tuple[Budget, ...],
        taxonomy: Taxonomy,
        device: Callable[[], torch.device],
        started_s: float | None = None,
    ) -> None:
        self.measurements: list[Measurement] = []
        self._test = test
        self._mode = mode
        self._budgets = budgets
        self._taxonomy = taxonomy
        self._device = device
        self._started_s = monotonic() if started_s is None else started_s

    def __call__(
        self,
        model: Callable[..., object],
        /,
        *args: object,
        label: str | None = None,
        grad_mode: str = "inference",
        setup: Callable[[], object] | None = None,
        **kwargs: object,
    ) -> Profile:
        """Measure ``model(*args, **kwargs)`` and check the test's budget for this label.

        ``model`` is any callable that runs torch operators. Several calls in one test need
        distinct labels. ``grad_mode``: ``"inference"``, ``"no_grad"`` or ``"grad"``. ``setup``
        makes the arguments anew for every call, unmeasured: it returns a tuple of arguments, or
        ``(args, kwargs)``. Broken limits fail the test when it ends. Raises the errors of the
        model, and ``MeasurementError``.
        """
        from pytest_hiddencost.measure import Call, naming_way_out

        name = self._checked_label(label)
        call = Call(model, args, kwargs, self._device(), grad_mode, setup)
        budget = next((b for b in self._budgets if b.label in (None, name)), None)
        request = Request(self._test, name, call, budget, self._taxonomy, self._started_s)
        given = {"label": label is not None, "setup": setup is not None}
        try:
            with naming_way_out({**given, "grad_mode": grad_mode != "inference"}):
                measurement = self._mode.measure(request)
        except BaseException as error:
            explain(error)
            raise
        self.measurements.append(measurement)
        for note in measurement.profile.notes:
            warnings.warn(HiddenCostWarning(note), stacklevel=2)
        return with_limits(measurement)

    @property
    def profiles(self) -> list[Profile]:
        """The profiles of the calls so far, with the verdicts on their limits."""
        return [with_limits(measurement) for measurement in self.measurements]

    def labels(self) -> list[str]:
        """Return the labels of the calls so far."""
        return [measurement.profile.label for measurement in self.measurements]

    def _checked_label(self, label: object) -> str:
        if label is not None and not isinstance(label, str):
            from pytest_hiddencost.measure import way_out

            raise MeasurementError(
                f"hiddencost(..., label={label!r:.60}): a label is text; write for example "
                f'label="b1"; {way_out("label")}'
            )
        name = label or ""
        if name in self.labels():
            which = f"label {name!r}" if name else "no label"
            raise MeasurementError(
                f"two hiddencost calls in {self._test} have {which}; give each call its own label: "
                'hiddencost(model, x, label="...")'
            )
        return name

    def unused_label(self) -> str | None:
        """Return a label in the markers that no call has, so that its budget checks nothing."""
        seen: set[str | None] = set()
        for budget in self._budgets:
            if budget.label in seen or None in seen:
                break
            if budget.label is not None and budget.label not in self.labels():
                return budget.label
            seen.add(budget.label)
        return None


def nothing_checked(test: str, fixture: HiddenCost | None, *, marked: bool) -> str:
    """Return why a limit of a test checked nothing; empty if each checked something."""
    if marked and not (fixture and fixture.measurements):
        return (
            f"hiddencost: {test} is marked {markers.NAME} but measured nothing, so no limit was "
            "checked; call the hiddencost fixture in it"
        )
    if fixture is None or (unused := fixture.unused_label()) is None:
        return ""
    labels = ", ".join(map(repr, fixture.labels()))
    return (
        f"hiddencost: {markers.NAME}(label={unused!r}) matches no call of {test}, so its limits "
        f"check nothing; give it one of the labels of its calls: {labels}"
    )
