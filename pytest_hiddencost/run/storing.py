"""The store of runs as a run sees it: checked before any test, written at the end."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_hiddencost.core.errors import SettingError, StoreError
from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.git import checked_out_branch, checked_out_commit

if TYPE_CHECKING:
    from pytest_hiddencost.history.store_folder import StoreFolder


def check_store(settings: Settings) -> None:
    """Check that the run can be added to the store. Raises ``SettingError``, ``ExtraError``."""
    if settings.store is None:
        return
    for module in ("pyarrow", "fsspec"):
        extra(module, "history", settings.store.where)
    from pytest_hiddencost.history.store_folder import StoreFolder

    try:
        StoreFolder(settings.store.url).check_writable()
    except StoreError as error:
        raise SettingError(f"{settings.store.where}: {error}; name another store") from error


def add_to_store(settings: Settings, results: Results, root: Path) -> tuple[str, str]:
    """Add the profiles of each device; return the line on it and a warning, empty without one.

    Raises ``StoreError``.
    """
    devices = results.by_device()
    if settings.store is None or not devices:
        return "", ""
    from pytest_hiddencost.history.store_folder import StoreFolder
    from pytest_hiddencost.history.store_rows import RunFacts, branch_of_ci
    from pytest_hiddencost.history.store_writer import add_run

    commit = checked_out_commit(root) or {"id": "", "dirty": False}
    facts = RunFacts(
        time=datetime.now(timezone.utc),
        commit=str(commit["id"]),
        branch=checked_out_branch(root) or branch_of_ci(os.environ),
        dirty=bool(commit["dirty"]),
        host=platform.node() if settings.store.host else "",
    )
    folder = StoreFolder(settings.store.url)
    run_ids = [add_run(folder, facts, device, profiles) for device, profiles in devices]
    merged = [_merged(folder, device.key, facts.time) for device, _ in devices]
    noun = "run" if len(run_ids) == 1 else "runs"
    return f"stored: {noun} {', '.join(run_ids)}", next(filter(None, merged), "")


def _merged(folder: StoreFolder, device: str, now: datetime) -> str:
    """Merge small files, and return why it could not be done; empty if it could."""
    from pytest_hiddencost.history.small_files import merge_small_files

    try:
        merge_small_files(folder, device, now)
    except (StoreError, OSError, ValueError) as error:  # the last two are Arrow's
        return (
            f"hiddencost: the run was stored, but small files were not merged: {error}; questions "
            "become slow until hiddencost history compact merges them"
        )
    return ""
