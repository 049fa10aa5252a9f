"""The data that a worker process is started with, and their counterparts in the tree of base."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_hiddencost.core.errors import NotInBase
from pytest_hiddencost.options import model_of
from pytest_hiddencost.workers.invocation import Invocation
from pytest_hiddencost.workers.revisions import Tree


@dataclass(frozen=True)
class Start:
    """The data to start a worker with: its tests, folder, interpreter and import path.

    ``modules`` are test files relative to the rootdir, or ids of named models; ``name`` is the side
    in messages. In this run it took ``startup_s`` seconds to collect its tests, and ``test_s`` to
    come through the call.
    """

    invocation: Invocation
    plugins: frozenset[str]
    python: str
    path: tuple[Path, ...]
    modules: tuple[str, ...]
    name: str
    startup_s: float = 0.0
    test_s: float = 0.0


def base_start(start: Start, tree: Tree, modules: Sequence[str]) -> Start:
    """Return how to start the base's counterpart of a worker that runs in the user's tree.

    ``modules`` are its test files. Raises ``NotInBase`` if the base's tree has none of them.
    """
    invocation = start.invocation
    root = tree.counterpart(invocation.root)
    found = tuple(m for m in modules if model_of(m) is not None or (root / m).is_file())
    name = tree.base.name
    if not found:
        raise NotInBase(f"{name} has no {modules[0]}")
    directory = tree.counterpart(invocation.directory)
    ini = invocation.ini
    if ini is not None and tree.counterpart(ini).is_file():
        ini = tree.counterpart(ini)
    mapped = replace(
        invocation,
        directory=directory if directory.is_dir() else root,
        root=root,
        ini=ini,
        arguments=tuple(_counterpart(tree, argument) for argument in invocation.arguments),
    )
    path = tuple(tree.counterpart(entry) for entry in start.path)
    return replace(
        start, invocation=mapped, python=tree.python, path=path, modules=found, name=name
    )


def _counterpart(tree: Tree, argument: str) -> str:
    """Return the argument; an absolute path in it becomes its counterpart in the base's tree."""
    option, equals, value = argument.rpartition("=") if "=" in argument else ("", "", argument)
    if not os.path.isabs(value):
        return argument
    return f"{option}{equals}{tree.counterpart(Path(value))}"
