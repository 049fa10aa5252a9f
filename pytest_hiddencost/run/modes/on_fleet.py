"""The mode of a run whose tests run on the devices of a fleet."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_hiddencost.core.errors import FleetError, GitError, InterleavingError, SettingError
from pytest_hiddencost.core.model_names import Variant
from pytest_hiddencost.fleet.device_task import Order
from pytest_hiddencost.fleet.dispatcher import Dispatcher
from pytest_hiddencost.fleet.members import (
    Member,
    chosen_kinds,
    connected,
    differences,
    members,
    refuse_other_versions,
)
from pytest_hiddencost.fleet.sources import ProjectSources, pack_sources
from pytest_hiddencost.options import OPTIONS
from pytest_hiddencost.run.fleet_settings import FleetSettings
from pytest_hiddencost.run.modes.base import Measurement, Mode, Request
from pytest_hiddencost.run.selection import Collected, plugin_names
from pytest_hiddencost.run.settings import OUTPUT_FILES, Settings
from pytest_hiddencost.workers.invocation import OF_PLUGINS
from pytest_hiddencost.workers.revisions import resolve

if TYPE_CHECKING:
    import pytest

KEPT_HERE = frozenset(
    {
        *(*OUTPUT_FILES, "github", "store", "store-host", "disable"),
        *("baseline-dir", "against", "carry"),  # devices get these in terms of their own tree
        *("model", "input", "batch", "dtype", "compile"),  # the id of a named model has them
    }
)
"""Options that devices do not get as they are given here."""


class OnFleet(Mode):
    """Sends each test to one device of each kind; nothing is measured here."""

    def __init__(self, config: pytest.Config, settings: Settings, collected: Collected) -> None:
        super().__init__(settings)
        assert settings.fleet is not None
        self.fleet: FleetSettings = settings.fleet
        self.devices: list[Member] = []
        self.kinds: list[str] = []
        self.remarks: list[str] = []
        self.dispatcher: Dispatcher | None = None
        self._config = config
        self._collected = collected
        self._refuse()

    def _refuse(self) -> None:
        """Refuse options that mean nothing to a fleet. Raises ``SettingError``."""
        where = self.fleet.where
        if hasattr(self._config, "workerinput") or getattr(self._config.option, "tx", None):
            raise SettingError(
                f"{where}: pytest-xdist cannot share a fleet, whose devices work in parallel by "
                "themselves; run with -n0"
            )
        if self._settings.recording.rename:
            raise SettingError(
                f"{where} and --hiddencost-rename: renaming needs no fleet; run it once on a "
                "device that has baselines, and the entries of all devices move"
            )

    def prepare(self) -> None:
        """Reach the fleet, and take over the running of the tests. Raises ``FleetError``."""
        from pytest_hiddencost.run.fleet_run import FleetRun

        client = connected(self.fleet.address)
        try:
            present = members(client)
            self.kinds = chosen_kinds(present, self.fleet.kinds, self.fleet.kinds_option)
            self.devices = [device for device in present if device.info.kind in self.kinds]
            refuse_other_versions(self.devices)
            sources = self._packed()
        except BaseException:
            client.close(timeout=1)
            raise
        self.remarks += differences(self.devices)
        if sources.remark:
            self.remarks.append(sources.remark)
        self._sources = sources
        self.dispatcher = Dispatcher(client, self.devices, sources)
        run = FleetRun(self._config, self._settings, self._collected, self)
        self._config.pluginmanager.register(run)

    @property
    def baseline_folder(self) -> Path | None:
        """The folder of all baselines, here; None if they are switched off."""
        return self._settings.baseline_dir

    def measure(self, request: Request) -> Measurement:
        """Refuse: a test that measures is known by its arguments or its marker."""
        raise FleetError(
            f"{request.test} asked for the fixture hiddencost while it ran here; name the fixture "
            "in the test's arguments, so that it runs on the devices"
        )

    def own_outputs(self, settings: Settings) -> Settings:
        """Return settings without files: each device has its own."""
        return without_outputs(settings)

    def close(self) -> None:
        """Cancel what the devices still run."""
        if self.dispatcher is not None:
            self.dispatcher.close()

    def orders(self, tests: Sequence[str]) -> list[Order]:
        """Return the orders: each test for each kind, the kinds in turn."""
        invocation, top = self._settings.invocation, self._sources.top
        assert invocation is not None
        order = Order(
            test="",
            kind="",
            sources=self._sources.name,
            arguments=tuple(self._arguments()),
            plugins=tuple(sorted(plugin_names(self._config) & OF_PLUGINS.keys())),
            directory=_inside(invocation.directory, top, "the folder that pytest was started in"),
            root=_inside(invocation.root, top, "the rootdir"),
            ini="" if invocation.ini is None else _inside(invocation.ini, top, "the ini file"),
            baselines=self._baselines(),
            limit_s=self.fleet.limit_s,
        )
        return [replace(order, test=test, kind=kind) for test in tests for kind in self.kinds]

    def _baselines(self) -> str:
        folder = self._settings.baseline_dir
        return (
            ""
            if folder is None
            else _inside(folder, self._sources.top, "--hiddencost-baseline-dir")
        )

    def _packed(self) -> ProjectSources:
        """Pack the sources, with the history that comparisons and recordings need."""
        settings, invocation = self._settings, self._settings.invocation
        assert invocation is not None
        commits: list[str] = []
        if settings.against is not None:
            try:
                base = resolve(settings.against, invocation.root, invocation.directory)
            except (InterleavingError, GitError) as error:
                raise FleetError(f"{settings.against_option}: {error}") from error
            if not base.commit:
                raise FleetError(
                    f"{settings.against_option}: only a revision can travel to devices, and "
                    f"{settings.against!r:.80} is none"
                )
            commits = [base.commit]
        compares = settings.baseline_dir is not None and settings.baseline_dir.is_dir()
        records = settings.recording.accept != "nothing"
        history = ["HEAD", *commits] if commits or compares or records else []
        self._base = commits[0] if commits else ""
        carried = [*settings.carry, *files_of_models(settings.models.variants, invocation.root)]
        return pack_sources(invocation.root, history, carried)

    def _arguments(self) -> list[str]:
        """Return the options for a test's pytest: ours, and those that change its meaning."""
        option = self._config.option
        found = [part for name in option.plugins or () for part in ("-p", name)]
        found += [part for text in option.override_ini or () for part in ("-o", text)]
        found += [part for text in option.pythonwarnings or () for part in ("-W", text)]
        found += ["--runxfail"] if getattr(option, "runxfail", False) else []
        found += [f"--import-mode={option.importmode}"]
        for row in OPTIONS:
            value = self._config.getoption(row.ini)
            if value is None or row.name in KEPT_HERE or row.name.startswith("fleet"):
                continue
            texts = value if isinstance(value, list) else [value]
            found += [row.argument] if row.flag else [f"{row.argument}={text}" for text in texts]
        if self._base:
            found.append(f"--hiddencost-against={self._base}")
        folder, invocation = self._settings.baseline_dir, self._settings.invocation
        assert invocation is not None
        if carry := [os.path.relpath(path, invocation.directory) for path in self._settings.carry]:
            found.append(f"--hiddencost-carry={','.join(carry)}")
        own = "off" if folder is None else os.path.relpath(folder, invocation.directory)
        return [*found, f"--hiddencost-baseline-dir={own}"]


def without_outputs(settings: Settings) -> Settings:
    """Return the settings without any file, store or job summary."""
    files: dict[str, Any] = dict.fromkeys(OUTPUT_FILES)
    return replace(settings, github="off", store=None, **files)


def files_of_models(variants: Sequence[Variant], root: Path) -> list[str]:
    """Return globs for files and folders of named models: they travel even if git ignores them."""
    models = dict.fromkeys(variant.model for variant in variants)
    files = [root / model.text for model in models if model.is_file]
    folders = [root / model.attribute for model in models if model.library == "hf"]
    found = [*files, *(folder for folder in folders if folder.is_dir())]
    return [glob.escape(str(path)) for path in found]


def _inside(path: Path, top: Path, name: str) -> str:
    """Return a path relative to the repository's top. Raises ``FleetError``."""
    real = path.resolve()
    if not real.is_relative_to(top):
        raise FleetError(f"{name}, {path}, lies outside the repository {top}: it cannot travel")
    return real.relative_to(top).as_posix()
