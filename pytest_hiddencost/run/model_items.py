"""Named models as tests: pytest collects an item for each variant, and the item measures it."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_hiddencost.core.errors import HiddenCostError, HiddenCostWarning, MeasurementError
from pytest_hiddencost.core.model_names import Variant
from pytest_hiddencost.options import MODELS, model_of
from pytest_hiddencost.run import markers
from pytest_hiddencost.run.fixture import HiddenCost
from pytest_hiddencost.run.fleet_settings import on_device
from pytest_hiddencost.run.model_budgets import budget_of, unmatched
from pytest_hiddencost.run.model_settings import ModelSettings
from pytest_hiddencost.run.selection import MODELS_IN_FULL
from pytest_hiddencost.workers.imported_code import ModelCode

if TYPE_CHECKING:
    import torch

__tracebackhide__ = True


class Measuring(Protocol):
    """The part of the session that an item needs."""

    def measuring(self, item: pytest.Item) -> HiddenCost:
        """Return the fixture's object for one test."""

    def device(self) -> torch.device:
        """Return the device to measure on."""


class ModelCollection:
    """The plugin object that adds the named models of a run to the tests that pytest collects."""

    def __init__(self, settings: ModelSettings, session: Measuring) -> None:
        self._settings = settings
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the collector of the named models to those of the session."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed:
            models: NamedModels = NamedModels.from_parent(
                collector, name=MODELS, nodeid=MODELS, path=collector.config.rootpath
            )
            models.settings, models.measures = self._settings, self._session
            report.result = [*report.result, models]
        return report


def collect_models(config: pytest.Config, settings: ModelSettings, session: Measuring) -> None:
    """Let pytest collect the named models of a run; no tests if the run is for models alone."""
    if not settings.variants:
        return
    # pytest would look for files of these names.
    config.args[:] = [each for each in config.args if model_of(str(each)) is None]
    if settings.alone:
        config.args.clear()
        config.args_source = pytest.Config.ArgsSource.ARGS
    config.stash[MODELS_IN_FULL] = settings.in_full
    config.pluginmanager.register(ModelCollection(settings, session))


class NamedModels(pytest.Collector):
    """The named models of a run."""

    settings: ModelSettings
    measures: Measuring

    def collect(self) -> Iterable[pytest.Item]:
        """Return an item for each variant; no model is made, and nothing is imported."""
        given = self.settings
        missed = unmatched(given.budgets, given.variants)
        if missed and not on_device(self.config):  # a device has one model of many
            patterns = ", ".join(f"[{pattern}]" for pattern in missed)
            text = f"hiddencost_model_budget: {patterns} matches no named model of this run"
            warnings.warn(HiddenCostWarning(text), stacklevel=1)
        for variant in given.variants:
            nodeid = f"{self.nodeid}::{variant.name}"
            item: ModelItem = ModelItem.from_parent(
                self, name=variant.name, nodeid=nodeid, variant=variant, measures=self.measures
            )
            if limits := budget_of(given.budgets, variant):
                item.add_marker(getattr(pytest.mark, markers.NAME)(**limits))
            yield item


class ModelItem(pytest.Item):
    """One variant of a named model."""

    fixturenames = ("hiddencost",)

    def __init__(self, *, variant: Variant, measures: Measuring, **given: Any) -> None:
        super().__init__(**given)
        self._variant = variant
        self._measures = measures

    @property
    def model_code(self) -> ModelCode:
        """The module or file that holds the model's code."""
        model = self._variant.model
        name = model.text if model.is_file else f"{model.attribute}/config.json"
        file = self.config.rootpath / name
        if model.is_file or (model.library == "hf" and file.is_file()):
            return ModelCode(name, {name: str(file.resolve())})
        return ModelCode(model.module)

    def runtest(self) -> None:
        """Make the model and measure it; fail in one line if it cannot be made or called."""
        if self._variant.compiled and self._variant.model.is_script:
            pytest.skip("a TorchScript file has no compiled variant")
        message = ""
        hiddencost = self._measures.measuring(self)
        try:
            self._measure(hiddencost)
        except HiddenCostError as error:
            if error.__cause__ is not None and self.config.getoption("verbose", 0) > 0:
                raise  # with the traceback of the user's code
            message = str(error)
        if message:  # outside the handler, or pytest shows the error twice
            pytest.fail(f"hiddencost: {message}", pytrace=False)

    def _measure(self, hiddencost: HiddenCost) -> None:
        from pytest_hiddencost.measure.model_files import one_line
        from pytest_hiddencost.measure.named_models import load_model

        root = self.config.rootpath
        folders = [self.config.invocation_params.dir, root]
        loaded = load_model(self._variant, self._measures.device(), root, folders)
        try:
            hiddencost(loaded.module, *loaded.args, **loaded.kwargs)
        except HiddenCostError:
            raise
        except Exception as error:
            given = " and ".join(map(str, self._variant.inputs)) or "the input in its file"
            dtype = f" in {self._variant.dtype}" if self._variant.dtype else ""
            raise MeasurementError(
                f"{self._variant.model}{dtype} failed with input {given}: {one_line(error)}; "
                "choose another --hiddencost-input, or see the traceback with -v"
            ) from error

    def reportinfo(self) -> tuple[Path, None, str]:
        """Return the location that reports show for this test."""
        return self.config.rootpath / MODELS, None, self.name
