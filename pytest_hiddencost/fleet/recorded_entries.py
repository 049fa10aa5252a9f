"""Baseline entries that a test recorded on a device, and their way into the files here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.codec import decode
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.judge.baseline.entries import Entry
from pytest_hiddencost.judge.baseline.store import Baselines, RecordedCall

_SUFFIX = ".json"
Files = Mapping[Path, bytes]


@dataclass(frozen=True)
class RecordedEntry:
    """One entry as plain data, with the record of the device that has it."""

    device: Mapping[str, Any]
    module: str
    test: str
    label: str
    entry: Mapping[str, Any]


def baseline_files(folder: Path) -> dict[Path, bytes]:
    """Return the baseline files below a folder, which need not exist."""
    return {path: path.read_bytes() for path in folder.rglob(f"*{_SUFFIX}") if path.is_file()}


def restore_files(folder: Path, before: Files) -> None:
    """Put the baseline files back as they were."""
    for path in baseline_files(folder).keys() - before.keys():
        path.unlink()
    for path, data in before.items():
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def changed_entries(before: Files, after: Files) -> tuple[RecordedEntry, ...]:
    """Return the entries that were added or rewritten."""
    found = []
    for path, data in after.items():
        if before.get(path) == data:
            continue
        new = json.loads(data)
        old = json.loads(before[path])["entries"] if path in before else {}
        found += [
            RecordedEntry(new["device"], new["module"], test, label, entry)
            for test, labels in new["entries"].items()
            for label, entry in labels.items()
            if old.get(test, {}).get(label) != entry
        ]
    return tuple(found)


def write_entries(folder: Path, entries: Sequence[RecordedEntry]) -> tuple[int, list[Path]]:
    """Write entries under the folders of their devices; return their number and the files.

    The base folder is locked meanwhile. Raises ``BaselineError`` and ``FormatError``.
    """
    by_device: dict[Device, dict[RecordedCall, Entry | None]] = {}
    for found in entries:
        device = decode(Device, found.device, "recorded device")
        call = found.module, found.test, found.label
        entry = decode(Entry, found.entry, f"recorded entry of {found.test}")
        by_device.setdefault(device, {})[call] = entry
    files: list[Path] = []
    for device, change in by_device.items():
        files += Baselines(folder, device).update(change)
    return sum(map(len, by_device.values())), files
