"""The template: a process that has imported torch, pytest and the plugin, and forks workers."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from importlib import import_module

import pytest_hiddencost
from pytest_hiddencost.system.affinity import usable_cores
from pytest_hiddencost.system.processes import import_first
from pytest_hiddencost.workers.channel import Channel
from pytest_hiddencost.workers.fork_server import ForkServer
from pytest_hiddencost.workers.messages import PROTOCOL, Fork, Hello

MODULES = (
    "pytest", "_pytest.terminal", "_pytest.junitxml", "torch", "torch.profiler",
    "pytest_hiddencost.measure", "pytest_hiddencost.run.session",
)  # fmt: skip


def be_template() -> None:
    """Be the template of the run at the other end of the descriptor on the command line."""
    free = usable_cores()
    channel = Channel(int(sys.argv[1]))
    for name in MODULES:
        import_module(name)
    if hasattr(os, "sched_setaffinity"):
        # OpenMP has bound this thread to one core, and the user's code may start others from it.
        os.sched_setaffinity(0, free)
    gc.collect()
    gc.freeze()
    channel.send(Hello(PROTOCOL, pytest_hiddencost.__version__))
    server = ForkServer(channel)  # kept: it has what moves the memory of a fork
    found = server.serve()
    if found is None:
        os._exit(0)
    os._exit(run_pytest(*found))  # an ordinary exit would take torch apart for a second


def run_pytest(order: Fork, descriptors: list[int]) -> int:
    """Run pytest in a fork; return its exit status."""
    for descriptor in descriptors:
        if order.descriptor is not None and descriptor != order.descriptor:
            os.dup2(descriptor, order.descriptor)
            os.close(descriptor)
    os.chdir(order.directory)
    import_first(order.path, os.environ)
    own = [] if getattr(sys.flags, "safe_path", False) else [order.directory]
    sys.path[:] = dict.fromkeys([*own, *order.path, *sys.path])
    sys.path_importer_cache.clear()  # relative entries had been those of another folder
    sys.argv[:] = ["pytest", *order.arguments]

    import pytest

    status = int(pytest.main(list(order.arguments)))
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status
