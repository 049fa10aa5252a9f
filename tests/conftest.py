"""pytester, for tests that run pytest with the plugin; one thread for torch; groups of tests."""

from __future__ import annotations

import gc

import pytest
import torch

# pytester forgets what a run in this process imported; torch's compiler cannot be imported twice.
import torch._dynamo

pytest_plugins = ["pytester"]

# Two threads wait for each other while other processes use the cores, for seconds on two cores.
torch.set_num_threads(1)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let ``--dist=loadgroup`` see the groups.

    pytest-xdist 3.8 writes a test's group into an attribute that pytest 9.2 does not read.
    """
    for item in items:
        if (grouped := vars(item).get("_nodeid")) is not None:
            item._id = type(item._id).parse(grouped)


def pytest_collection_finish() -> None:
    """Let no measurement wait for a collection of garbage among thousands of collected tests."""
    gc.collect()
    gc.freeze()
