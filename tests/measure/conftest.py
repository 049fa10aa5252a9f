"""Fast measurements on a shared machine: one thread, and little garbage to collect."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from pytest_hiddencost import Sampling, profile


@pytest.fixture(scope="session", autouse=True)
def _fast_measurements() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two threads wait for each other if other processes use the cores
    # A first measurement imports thop and calibrates the profiler, for all tests of the session.
    profile(torch.nn.Linear(2, 2).eval(), torch.ones(1, 2), sampling=Sampling(1_000_000))
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)
