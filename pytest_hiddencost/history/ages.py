"""Ages and days as a user writes them: ``90d``, ``12w``, ``2026-10-03``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from pytest_hiddencost.core.errors import SettingError

_HOURS = {"h": 1, "d": 24, "w": 168}
LONGEST_H = 24 * 36_525


def age_of(text: str, where: str) -> timedelta:
    """Return the age that a text gives. Raises ``SettingError``; ``where`` names the option."""
    found = re.fullmatch(r"(\d{1,6}) ?([hdw])", text.strip(), re.ASCII)
    hours = int(found[1]) * _HOURS[found[2]] if found else LONGEST_H + 1
    if hours > LONGEST_H:
        raise SettingError(f"{where}: expected an age such as 90d, 12w or 36h, got {text!r}")
    return timedelta(hours=hours)


def moment_of(text: str, where: str, now: datetime) -> datetime:
    """Return a moment in UTC from an age or a day. Raises ``SettingError``."""
    try:
        given = datetime.fromisoformat(text.strip())
    except ValueError:
        try:
            return now - age_of(text, where)
        except SettingError as error:
            raise SettingError(
                f"{where}: expected a day such as 2026-10-03 or an age such as 90d, got {text!r}"
            ) from error
    return given.astimezone(timezone.utc) if given.tzinfo else given.replace(tzinfo=timezone.utc)
