"""The pytest entry point: decides whether anything of ours is needed in this run.

pytest imports this module at every start, so it imports only the option table and the hook
specifications. It imports the rest if a collected test uses the fixture or the marker, a worker
reports a profile, or an option is set.
"""

from __future__ import annotations

from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from pytest_hiddencost import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from pytest_hiddencost.run.fixture import HiddenCost
    from pytest_hiddencost.run.session import HiddenCostSession

MARKER = "latency_budget"
FIXTURES = frozenset({"hiddencost", "hiddencost_device"})
SESSION = "hiddencost-session"
WATCHER = "hiddencost-watcher"
STUDY_PACKAGE = "pytest_hiddencost.study"
STUDY_OUTPUT = f"{STUDY_PACKAGE}.study_output"
LOADED_S = monotonic()
# The signature of run.markers.latency_budget, which an idle run must not import; a test compares.
MARKER_LINE = (
    "latency_budget(*, p50=None, p95=None, p99=None, non_mac=None, operators=None, mac_rate=None, "
    "macs=None, activation_memory=None, energy=None, regression=None, label=None): limits for what "
    'the hiddencost fixture measures in this test, each with its unit: p50="15 ms", non_mac="35%", '
    'operators={"aten::cat": "5%", "data_movement": "0.4 ms", "aten::copy_": "12 calls"}, '
    'mac_rate="3 GMAC/s", activation_memory="24 MiB", energy="12 mJ", regression="5%".'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    options.add_to(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare our own hooks."""
    from pytest_hiddencost import hookspec

    pluginmanager.add_hookspecs(hookspec)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and the watcher; check options that are set before any test runs."""
    config.addinivalue_line("markers", MARKER_LINE)
    config.pluginmanager.register(_Watcher(config), WATCHER)
    verbosity_set = config.getini(options.VERBOSITY) != "auto"
    named = any(options.model_of(str(argument)) is not None for argument in config.args)
    if verbosity_set or named or any(_is_set(config, option) for option in options.OPTIONS):
        session(config)
    packages = config.args if config.option.pyargs else ()
    if any(str(package).startswith(STUDY_PACKAGE) for package in packages):
        # A controller of pytest-xdist collects nothing, so it would not load the study's conftest.
        config.pluginmanager.register(import_module(STUDY_OUTPUT), STUDY_OUTPUT)


def _is_set(config: pytest.Config, option: options.Option) -> bool:
    try:
        return options.raw_value(config, option) is not None
    except (ValueError, pytest.UsageError) as error:  # an ini boolean that is none
        raise pytest.UsageError(f"{option.ini} in the ini file: {error}") from error


def session(config: pytest.Config) -> HiddenCostSession:
    """Return the working part of the plugin; import it on first need."""
    found: HiddenCostSession | None = config.pluginmanager.get_plugin(SESSION)
    if found is None:
        from pytest_hiddencost.core.errors import HiddenCostError
        from pytest_hiddencost.run.session import HiddenCostSession

        try:
            watcher: _Watcher = config.pluginmanager.get_plugin(WATCHER)  # type: ignore[assignment]
            found = HiddenCostSession(config, watcher)
        except HiddenCostError as error:
            raise pytest.UsageError(str(error)) from error
        config.pluginmanager.register(found, SESSION)
    return found


class _Watcher:
    """Notices the first need, here or in a worker's report; keeps the collected tests."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.items: list[pytest.Item] = []
        self.ours: list[pytest.Item] = []
        self.deselected: list[pytest.Item] = []
        self.collected: list[pytest.Item] = []
        self.modules: set[str] = set()
        self.node_ids_of_workers: list[str] = []
        self.collect_failed = False
        self._collected_s: float | None = None

    @property
    def startup_s(self) -> float:
        """The seconds from the start of this run until its tests were collected."""
        return (self._collected_s or monotonic()) - LOADED_S

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self.collected.append(item)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.deselected += items

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.collect_failed = self.collect_failed or report.failed
        if report.passed and "::" not in report.nodeid:
            self.modules.add(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected_s = monotonic()
        self.ours = [item for item in session.items if _uses_us(item)]
        if self.ours:
            self.items = session.items
            _bring_in(self._config)
        else:
            self.collected = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        # A worker may start processes like this run, but knows only its own arguments.
        params = self._config.invocation_params
        node.workerinput["hiddencost_started"] = {
            "arguments": [str(argument) for argument in params.args],
            "selected": list(self._config.option.file_or_dir),
            "directory": str(params.dir),
        }
        found: HiddenCostSession | None = self._config.pluginmanager.get_plugin(SESSION)
        if found is not None:
            node.workerinput["hiddencost_mode"] = found.for_xdist_workers()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        # The order of a plain run, whichever worker is done first.
        self.node_ids_of_workers = ids

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found: HiddenCostSession | None = self._config.pluginmanager.get_plugin(SESSION)
        if found is None and hasattr(report, "hiddencost"):
            found = _bring_in(self._config)
        if found is not None:
            found.take(report)


_bring_in = session  # inside hooks, whose argument of that name is pytest's


def _uses_us(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return not FIXTURES.isdisjoint(names) or item.get_closest_marker(MARKER) is not None


@pytest.fixture
def hiddencost(request: pytest.FixtureRequest) -> HiddenCost:
    """Measure a model: ``hiddencost(model, *args, label=None, **kwargs)`` gives its ``Profile``."""
    return session(request.config).measuring(request.node)


@pytest.fixture
def hiddencost_device(request: pytest.FixtureRequest) -> torch.device:
    """Return the ``torch.device`` that hiddencost measures on (``--hiddencost-device``)."""
    return session(request.config).device()
