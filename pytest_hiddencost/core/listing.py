"""Lists of names in a message: the first ones, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMES = 4


def listed(names: Sequence[str], most: int = MOST_NAMES) -> str:
    """Return the first ``most`` names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
