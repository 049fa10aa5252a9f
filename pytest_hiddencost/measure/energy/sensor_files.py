"""Files of the kernel's sensors and counters: names that may be absent, values that may not."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pytest_hiddencost.core.errors import EnergyError


def entries_of(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield the files and folders whose whole name matches, sorted; none of an absent folder."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    yield from (folder / name for name in names if re.fullmatch(pattern, name))


def number_in(path: Path, permit: str = "") -> int:
    """Return the whole number in a file; ``permit`` is the command that lets everybody read it.

    Raises ``EnergyError``.
    """
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except PermissionError as error:
        remedy = f"permit it: {permit or f'sudo chmod a+r {path}'}"
        raise EnergyError(f"only root may read {path}", remedy) from error
    except OSError as error:
        raise EnergyError(f"{path} cannot be read: {error.strerror}", "") from error
    if not re.fullmatch(r"-?[0-9]{1,20}", text):
        raise EnergyError(f"{path} holds {text!r:.40}, which is no number", "")
    return int(text)


def scaled(path: Path, unit: float) -> float:
    """Return the number in a file times its unit. Raises ``EnergyError``."""
    return number_in(path) * unit
