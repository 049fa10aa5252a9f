"""Baselines in other folders of the tree, where a run from another rootdir has recorded them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.core.errors import BaselineError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id

FOLDER = ".hiddencost"  # below the rootdir, unless an option names another


@dataclass(frozen=True)
class Nearby:
    """Another folder of baselines, and the option with which a run reads it."""

    folder: Path
    option: str


def folders_above(folder: Path) -> Iterator[Path]:
    """Yield the folder and those above it, up to the top of its repository."""
    for parent in (folder, *folder.parents):
        yield parent
        if os.path.lexists(parent / ".git"):
            return


def recorded_nearby(own: Path, root: Path, device: Device, test: str, label: str) -> Nearby | None:
    """Return the other folder that has an entry of a call; None if there is none.

    ``own`` is the folder of this run, and ``root`` its rootdir. The folders lie beside the test's
    file or above it. A folder that cannot be read is skipped.
    """
    module, name = split_node_id(test)
    file = Path(os.path.normpath(root / module))
    candidates = [parent / FOLDER for parent in folders_above(file.parent)]
    for folder in dict.fromkeys([own, *candidates]):
        if not os.path.isdir(folder):
            continue
        with suppress(BaselineError):
            baselines = Baselines(folder, device)
            parent = folder.parent
            below = file.relative_to(parent).as_posix() if file.is_relative_to(parent) else ""
            if below and parent != root and baselines.entry(below, name, label) is not None:
                default = folder.name == FOLDER
                also = "" if default else f" --hiddencost-baseline-dir={folder}"
                return Nearby(folder, f"--rootdir={parent}{also}")
            if folder != own and baselines.entry(module, name, label) is not None:
                return Nearby(folder, f"--hiddencost-baseline-dir={folder}")
    return None


def folder_above(own: Path, root: Path) -> Path | None:
    """Return the nearest folder of baselines above ``root``, if this run has none itself.

    If an option names the folder, no other is searched.
    """
    if own != root / FOLDER or os.path.isdir(own):
        return None
    found = (parent / FOLDER for parent in folders_above(root) if parent != root)
    return next((folder for folder in found if os.path.isdir(folder)), None)
