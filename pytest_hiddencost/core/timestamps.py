"""Moments as text."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> str:
    """Return this moment in UTC, to the second, in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
