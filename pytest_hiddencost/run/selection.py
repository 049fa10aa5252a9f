"""The selection of a run of pytest: tests, markers, plugins."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pytest

from pytest_hiddencost.core.errors import MarkerError
from pytest_hiddencost.run import markers
from pytest_hiddencost.workers.invocation import WRITERS
from pytest_hiddencost.workers.node_ids import test_id

MISSPELT = 0.9  # the likeness of names, from which one is taken for the other
MODELS_IN_FULL = pytest.StashKey[bool]()
"""Whether this run has every named model of the ini file: ``config.stash[MODELS_IN_FULL]``."""


class Watched(Protocol):
    """The collected tests, as the plugin watches pytest; ``ours`` are those that use it.

    ``items`` are selected. ``modules`` are the node ids of files and folders that pytest collected.
    """

    collected: list[pytest.Item]
    items: list[pytest.Item]
    ours: list[pytest.Item]
    deselected: list[pytest.Item]
    modules: set[str]
    node_ids_of_workers: list[str]
    collect_failed: bool

    @property
    def startup_s(self) -> float:
        """The seconds from the start of the run until its tests were collected."""


class Collected(Protocol):
    """The ids of the collected tests; ``ours`` are of those that use the plugin.

    The controller of pytest-xdist workers has their node ids, which plugins may have changed.
    """

    collect_failed: bool

    @property
    def ids(self) -> list[str]:
        """Every selected test in the order of the run."""

    @property
    def ours(self) -> list[str]:
        """The selected tests that use the plugin."""

    @property
    def deselected(self) -> list[str]:
        """The tests that an option or a plugin deselected."""

    @property
    def vanished(self) -> list[str]:
        """The tests that a plugin took out of the run without deselecting them."""

    @property
    def modules(self) -> frozenset[str]:
        """The node ids of the files that pytest collected, and of folders."""

    @property
    def startup_s(self) -> float:
        """The seconds from the start of the run until its tests were collected."""


class CollectedByPytest:
    """The tests that pytest has collected so far, by their ids."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    @property
    def ids(self) -> list[str]:
        """Every selected test in the order of the run."""
        watched = self._watched
        return [test_id(item) for item in watched.items] or watched.node_ids_of_workers

    @property
    def ours(self) -> list[str]:
        """The selected tests that use the plugin."""
        return [test_id(item) for item in self._watched.ours]

    @property
    def deselected(self) -> list[str]:
        """The tests that an option or a plugin deselected."""
        return [test_id(item) for item in self._watched.deselected]

    @property
    def vanished(self) -> list[str]:
        """The tests that a plugin took out of the run without deselecting them."""
        if not self._watched.items:
            return []
        known = {*self.ids, *self.deselected}
        return [test for test in map(test_id, self._watched.collected) if test not in known]

    @property
    def modules(self) -> frozenset[str]:
        """The node ids of the files that pytest collected, and of folders."""
        return frozenset(self._watched.modules)

    @property
    def startup_s(self) -> float:
        """The seconds from the start of the run until its tests were collected."""
        return self._watched.startup_s

    @property
    def collect_failed(self) -> bool:
        """Whether a file could not be collected, here or in a worker."""
        return self._watched.collect_failed

    @collect_failed.setter
    def collect_failed(self, failed: bool) -> None:
        self._watched.collect_failed = failed


def whole_suite(config: pytest.Config) -> bool:
    """Return whether nothing on the command line chose among the tests."""
    source = getattr(config, "args_source", None)
    chosen = source is None or source.name == "ARGS"
    return not chosen and collected_in_full(config) is not None


def measures_here(config: pytest.Config) -> bool:
    """Return whether tests run in this process: not in a controller of pytest-xdist workers."""
    option = config.option
    looks_only = any(
        getattr(option, name, False) for name in ("collectonly", "setupplan", "setuponly")
    )
    distributes = getattr(option, "dist", "no") != "no" and not hasattr(config, "workerinput")
    return not looks_only and not distributes


def collected_in_full(config: pytest.Config) -> tuple[Path, ...] | None:
    """Return the files and folders of which every test was collected; None if that is unknown."""
    option = config.option
    if any(getattr(option, name, None) for name in ("ignore", "ignore_glob", "lf", "pyargs")):
        return None
    base = config.invocation_params.dir
    return tuple((base / argument).resolve() for argument in config.args if "::" not in argument)


def uses_plugin(item: pytest.Item) -> bool:
    """Return whether a test has the marker or asks for the fixture."""
    fixtures = getattr(item, "fixturenames", ())
    return "hiddencost" in fixtures or item.get_closest_marker(markers.NAME) is not None


def marker_levels(item: pytest.Item) -> list[list[pytest.Mark]]:
    """Return the test's markers, closest level first: parameter, function, class, module.

    A base class is a level of its own, behind the class that inherits from it. Raises
    ``MarkerError`` if the test measures, and its only marker has nearly the plugin's name.
    """
    _refuse_misspelt(item)
    of_parameters = getattr(getattr(item, "callspec", None), "marks", ())
    levels: dict[object, list[pytest.Mark]] = {"parameters": []}
    for node, mark in item.iter_markers_with_node(markers.NAME):
        classes = _classes(node)
        levels.update({of_class: [] for of_class in classes if of_class not in levels})
        owners: list[object] = [of_class for of_class in classes if _has(of_class, mark)]
        if any(mark is candidate for candidate in of_parameters):
            owners = ["parameters"]
        level = levels.setdefault(owners[0] if owners else node, [])
        if not any(mark is candidate for candidate in level):  # a class may list its base's again
            level.append(mark)
    return [found for level, found in levels.items() if found or level == "parameters"]


def _classes(node: object) -> Sequence[type]:
    """Return the class of a node and its base classes, nearest first; none for other nodes."""
    of_node = getattr(node, "obj", None)
    return of_node.__mro__ if isinstance(of_node, type) else ()


def _has(of_class: type, mark: pytest.Mark) -> bool:
    """Return whether a class itself has this mark, which pytest lists for each subclass."""
    own = vars(of_class).get("pytestmark", [])
    listed = own if isinstance(own, list) else [own]
    return any(mark is getattr(found, "mark", found) for found in listed)


def _refuse_misspelt(item: pytest.Item) -> None:
    names = {mark.name for mark in item.iter_markers()}
    if "hiddencost" not in getattr(item, "fixturenames", ()) or markers.NAME in names:
        return
    for name in difflib.get_close_matches(markers.NAME, names, 1, MISSPELT):
        raise MarkerError(f"the marker {name} limits nothing; did you mean {markers.NAME}?")


def conftests(config: pytest.Config) -> list[Path]:
    """Return the conftest.py files of this run."""
    files = [getattr(plugin, "__file__", None) for plugin in config.pluginmanager.get_plugins()]
    return [Path(file) for file in files if file and Path(file).name == "conftest.py"]


def plugin_names(config: pytest.Config) -> frozenset[str]:
    """Return the names of the plugins in this run; of ``WRITERS`` those that write a file."""
    # A plugin that is switched off (-p no:NAME) is listed with its name, and is None.
    listed = config.pluginmanager.list_name_plugin()
    names = {name for name, plugin in listed if plugin is not None}
    writing = {name for name, option in WRITERS.items() if getattr(config.option, option, None)}
    return frozenset((names - WRITERS.keys()) | writing)  # whatever name -p gave them
