"""Text of users made fit to be shown: control characters visible, long names cut in the middle.

Test ids, labels, paths and module names may hold anything. The page escapes markup where it puts
text into HTML; here is what escaping of markup does not cover.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_hiddencost.core.printable import printable

LONGEST_TEXT = 1000
LONGEST_LABEL = 80  # of a node or a bar in a chart

# Beyond those that a terminal obeys: they have no width, or turn the direction of text.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)


def visible(text: object, most: int = LONGEST_TEXT) -> str:
    """Return a text on one line, with every invisible character as its escape.

    A text longer than ``most`` characters loses its middle.
    """
    whole = str(text)
    if len(whole) > most:
        kept = most - 1
        whole = f"{whole[: kept - kept // 2]}…{whole[len(whole) - kept // 2 :]}"
    return _INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], printable(whole))


def short(text: object) -> str:
    """Return a text that is short enough for a chart."""
    return visible(text, LONGEST_LABEL)


def finite(data: Any) -> Any:
    """Return JSON data with ``None`` for every number that JSON cannot hold."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [finite(value) for value in data]
    return data
