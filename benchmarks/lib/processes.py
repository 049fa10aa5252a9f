"""Fresh processes: every figure of a benchmark comes from one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.lib.repository import ROOT

LONGEST_S = 900


def environment(threads: int | None = None) -> dict[str, str]:
    """Return an environment that can import this checkout, with ``threads`` for torch.

    None: as many as torch takes by itself, whatever this process was started with.
    """
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    found.pop("PYTEST_ADDOPTS", None)
    found.pop("OMP_NUM_THREADS", None)
    if threads is not None:
        found["OMP_NUM_THREADS"] = str(threads)
    return found


def command_of(
    function: Callable[..., object], arguments: Mapping[str, Any], python: str = sys.executable
) -> list[str]:
    """Return the command that calls a function of a module and prints its result as JSON."""
    worker = [python, "-W", "ignore", "-m", "benchmarks.lib.worker"]
    return [*worker, function.__module__, function.__name__, json.dumps(dict(arguments))]


def fresh(
    function: Callable[..., Any], arguments: Mapping[str, Any], threads: int | None = None
) -> Any:
    """Call a function in a fresh process and return its result."""
    done = subprocess.run(
        command_of(function, arguments),
        env=environment(threads),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def say(text: str) -> None:
    """Report progress on stderr; stdout is for tables."""
    print(text, file=sys.stderr, flush=True)
