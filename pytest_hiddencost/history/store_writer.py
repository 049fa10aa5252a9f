"""Add a run to a store. The run is visible when its file in ``runs`` is there: the last one."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.core.records import Device, Profile
from pytest_hiddencost.history.parquet_files import parquet_of_rows
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import (
    StoredFile,
    folder_of_device,
    new_run_id,
    part_name,
)
from pytest_hiddencost.history.store_rows import RunFacts, table_rows


def add_run(
    folder: StoreFolder, facts: RunFacts, device: Device, profiles: Sequence[Profile]
) -> str:
    """Add a run and return its id. Any number of runs may do so at once. Raises ``StoreError``.

    The store has the whole run afterwards, or nothing that a reader sees.
    """
    run_id = new_run_id(facts.time)
    part = part_name(0, run_id)
    tables = table_rows(run_id, facts, device, profiles, part)
    try:
        data = {table: parquet_of_rows(table, rows) for table, rows in tables.items()}
    except (ValueError, OverflowError) as error:
        raise StoreError(f"{folder.name}: the run cannot be stored: {error}") from error
    for table, contents in data.items():  # the order counts: runs is the last
        month = f"{facts.time:%Y-%m}"
        folder.add(StoredFile(table, folder_of_device(device.key), month, part), contents)
    return run_id
