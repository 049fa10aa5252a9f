"""The modes of a run: a run has one, chosen once from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_hiddencost.run.modes.against_baseline import AgainstBaseline
from pytest_hiddencost.run.modes.against_revision import AgainstRevision
from pytest_hiddencost.run.modes.base import Mode
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from pytest_hiddencost.run.modes.interleaved_side import InterleavedSide
from pytest_hiddencost.run.modes.interleaving import Interleaving
from pytest_hiddencost.run.modes.relaunched import Relaunched
from pytest_hiddencost.run.selection import Collected, conftests, measures_here, plugin_names
from pytest_hiddencost.run.settings import RelaunchOrder, Settings
from pytest_hiddencost.run.threads_at_start import ThreadsAtStart
from pytest_hiddencost.workers.interleaved_plugin import SIDE

if TYPE_CHECKING:
    import pytest


def chosen(config: pytest.Config, settings: Settings, collected: Collected) -> Mode:
    """Return the mode that the settings ask for. Raises ``SettingError``."""
    mode = _chosen(config, settings, collected)
    if measures_here(config) and not settings.disable:
        config.pluginmanager.register(ThreadsAtStart(mode, collected))
    return mode


def _chosen(config: pytest.Config, settings: Settings, collected: Collected) -> Mode:
    if isinstance(settings.worker, RelaunchOrder):
        return Relaunched(settings, settings.worker)
    if settings.worker == "interleaved":
        return InterleavedSide(settings, config.stash[SIDE])
    if settings.fleet is not None and not settings.disable:
        from pytest_hiddencost.run.modes.on_fleet import OnFleet  # few runs need it

        return OnFleet(config, settings, collected)
    if settings.against is None and settings.baseline_dir is None:
        return BudgetsOnly(settings)
    plugins = plugin_names(config)
    given = getattr(config, "workerinput", {}).get("hiddencost_mode")
    interleaving = Interleaving(settings, collected, lambda: conftests(config), plugins, given)
    if settings.against is not None:
        return AgainstRevision(settings, collected, interleaving)
    return AgainstBaseline(settings, collected, interleaving)
