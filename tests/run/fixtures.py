"""The fixture's object without a run of pytest around it."""

from __future__ import annotations

import torch

from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.run.fixture import HiddenCost
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from pytest_hiddencost.run.settings import Settings

TEST = "test_it.py::test_it"


def hidden_cost(
    *budgets: Budget, threads: int | None = None, max_time_ns: int = 2_000_000
) -> HiddenCost:
    """The ``hiddencost`` of a test with these budgets, measuring briefly on the processor."""
    settings = Settings(threads=threads, sampling=Sampling(max_time_ns=max_time_ns))
    return HiddenCost(TEST, BudgetsOnly(settings), budgets, DEFAULT, lambda: torch.device("cpu"))
