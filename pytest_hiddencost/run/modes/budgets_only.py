"""The mode of a run that checks budgets and compares with nothing."""

from __future__ import annotations

from pytest_hiddencost.run.modes.base import Mode


class BudgetsOnly(Mode):
    """Measures each call in this process, and checks its budget, as every mode does first."""
