"""Sends the project's sources to devices, through Dask's scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_hiddencost.fleet.device_task import keep_sources
from pytest_hiddencost.fleet.sources import ProjectSources

PUSHED_AT_ONCE = 8  # devices: the scheduler holds a copy of the sources for each


def push_to_all(client: Any, sources: ProjectSources, addresses: Sequence[str]) -> None:
    """Send the sources to every device, some at once; one without them asks again later."""
    for first in range(0, len(addresses), PUSHED_AT_ONCE):
        push(client, sources, addresses[first : first + PUSHED_AT_ONCE])


def push(client: Any, sources: ProjectSources, addresses: Sequence[str]) -> str:
    """Send the sources to devices; return why the last of them cannot keep them, or nothing."""
    given = sources.name, sources.data
    try:
        found = client.run(keep_sources, *given, workers=list(addresses), on_error="return")
    except Exception as error:  # of the scheduler
        return f"it did not take the sources: {error!r:.200}"
    why = found.get(addresses[-1], "it is gone")
    return why if isinstance(why, str) else f"it did not take the sources: {why!r:.200}"
