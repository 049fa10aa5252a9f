"""A run that was added merges the small files of its device, so that they stay few.

The file of a run has generation 0. Four files of one generation become one of the next. So a row
is written again only as often as its month has generations, and a run has little to do. When a
month is over, the next run on the device merges what is left of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import groupby

from pytest_hiddencost.history.merging import READERS_NEED, DeviceMonth
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import StoredFile, folder_of_device, generation_of
from pytest_hiddencost.history.store_tables import RUNS

ENOUGH_FILES = 4
MOST_FOR_A_RUN = 4000
"""Profiles in a file that a run writes: a board has little memory, and a test run no time."""


def merge_small_files(
    folder: StoreFolder, device: str, now: datetime, remove_after: timedelta = READERS_NEED
) -> None:
    """Merge files of a device from this month and the one before; remove replaced ones.

    Raises ``StoreError``.
    """
    this = f"{now:%Y-%m}"
    last = f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"
    listed = folder.files(RUNS, [folder_of_device(device)], since_month=last)
    for name, found in groupby(listed, key=lambda file: file.month):
        files = list(found)
        if name <= this and _generations(files, over=name < this):
            with suppress(FileNotFoundError):  # another merge was here first
                month = DeviceMonth.of(folder, files)
                for some in _due(month, over=name < this):
                    month.merge(some, now)
                month.remove_replaced(now - remove_after)


def _due(month: DeviceMonth, over: bool) -> Iterator[list[StoredFile]]:
    """Return the files to be merged, group by group."""
    for group in _generations(month.mergeable, over):
        chunks = month.chunks(group, MOST_FOR_A_RUN)
        yield from (chunk for chunk in chunks if len(chunk) > 1)


def _generations(files: list[StoredFile], over: bool) -> list[list[StoredFile]]:
    """Return the generations that have enough files; the files of a month that is over."""
    if over:
        return [files] if len(files) > 1 else []
    numbers = Counter(generation_of(file.part) for file in files)
    return [
        [file for file in files if generation_of(file.part) == number]
        for number, count in numbers.items()
        if count >= ENOUGH_FILES
    ]
