"""The recorded baselines: a folder per device, a file per test module, an entry per call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.errors import BaselineError, FormatError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.judge.baseline import document, files
from pytest_hiddencost.judge.baseline.document import Document, Plain
from pytest_hiddencost.judge.baseline.entries import Entry

RecordedCall: TypeAlias = tuple[str, str, str]
"""A call of a test: module, test name, label."""

Change: TypeAlias = Mapping[RecordedCall, Entry | None]
"""Entries to record by call; None drops the recorded one."""

_Asked: TypeAlias = dict[tuple[str, str], Entry | None]


def split_node_id(nodeid: str) -> tuple[str, str]:
    """Return the module (its file) and the test name of a pytest node id."""
    module, _, test = nodeid.partition("::")
    return module, test


class Baselines:
    """The baselines of one device, in a folder below ``base`` that need not exist.

    A file is read once, on first use. A file that cannot be used raises ``BaselineError`` with its
    name and the remedy, and is never overwritten. Only :meth:`update` creates anything.
    """

    def __init__(self, base: Path, device: Device) -> None:
        try:
            self._root = base.resolve()
        except (OSError, RuntimeError) as error:  # a loop of links, to Python before 3.13
            raise BaselineError(f"{base}: cannot be read: {error}") from error
        self._device = device
        self._read: dict[Path, tuple[Document, Plain] | None] = {}
        self.folder = files.device_folder(self._root, device.key)
        """The folder of this device's baselines."""

    def entry(self, module: str, test: str, label: str) -> Entry | None:
        """Return the entry of one call on this device, None if it is new."""
        return self.entries(module).get((test, label))

    def entries(self, module: str) -> Mapping[tuple[str, str], Entry]:
        """Return the entries of a module on this device, by test name and label."""
        return _flat(self._contents(self._device.key, module))

    def file(self, module: str) -> Path:
        """Return the file of a module's entries on this device, whether it exists or not."""
        return files.module_path(self.folder, module)

    @property
    def root(self) -> Path:
        """The folder of all devices, resolved."""
        return self._root

    def device_of(self, file: Path) -> str:
        """Return the key of the device that a file of entries belongs to."""
        name = file.relative_to(self._root).parts[0]
        return files.decoded(name) or name

    def modules(self) -> list[str]:
        """Return the modules that have entries of this device, sorted."""
        return files.modules_below(self._root, self.folder)

    def elsewhere(self, module: str, test: str, label: str) -> list[tuple[Device, Entry]]:
        """Return entries of the same call on like devices, nearest first.

        Kind, model and architecture are the same; cores, threads or torch differ. Files of other
        devices that cannot be used are skipped.
        """
        found = []
        for key in self._other_keys():
            with suppress(BaselineError):
                contents = self._contents(key, module)
                entry = _flat(contents).get((test, label))
                if contents and entry and _kin(contents[0].device) == _kin(self._device):
                    found.append((contents[0].device, entry))
        return sorted(found, key=lambda item: self._distance(item[0]))

    def update(self, change: Change) -> list[Path]:
        """Apply exactly this change to the recorded entries; return the files that changed.

        A file whose last entry is dropped is removed. Other processes may update at the same time.
        Raises ``BaselineError`` for the files that could not be read or written and stay as they
        were; all other files are changed.
        """
        asked: dict[str, _Asked] = {}
        for (module, test, label), entry in change.items():
            asked.setdefault(module, {})[test, label] = entry
        if not asked or not (any(change.values()) or os.path.lexists(self.folder)):
            return []
        self._read.clear()
        changed: list[Path] = []
        problems: list[str] = []
        with files.writing(self._root, self.folder):
            for module in sorted(asked):
                try:
                    changed += self._apply(module, asked[module])
                except BaselineError as error:  # noqa: PERF203  # the others are written
                    problems.append(str(error))
        if problems:
            raise BaselineError("\n".join(problems))
        return changed

    def move(self, moves: Sequence[tuple[RecordedCall, RecordedCall]]) -> list[Path]:
        """Move entries as they are to other calls, for every device; return the changed files.

        An entry stays where a device has one for the other call already. New places are written
        before old ones are removed. Raises ``BaselineError`` as :meth:`update` does.
        """
        self._read.clear()
        changed: list[Path] = []
        problems: list[str] = []
        with files.writing(self._root, self.folder):
            for key in (self._device.key, *self._other_keys()):
                try:
                    changed += self._moved(key, moves)
                except BaselineError as error:  # noqa: PERF203  # the others are written
                    problems.append(str(error))
        if problems:
            raise BaselineError("\n".join(problems))
        return changed

    def _moved(self, key: str, moves: Sequence[tuple[RecordedCall, RecordedCall]]) -> list[Path]:
        folder = files.device_folder(self._root, key)
        found: dict[str, tuple[Document, Plain] | None] = {}
        wanted: dict[str, Plain] = {}
        for module in dict.fromkeys(call[0] for pair in moves for call in pair):
            found[module] = self._fresh(files.module_path(folder, module), key, module)
            recorded = found[module]
            wanted[module] = {t: dict(by) for t, by in recorded[1].items()} if recorded else {}
        device = next((contents[0].device for contents in found.values() if contents), None)
        gained: dict[str, None] = {}
        for (module, test, label), (to_module, to_test, to_label) in moves:
            there = wanted[to_module].get(to_test, {})
            if label in wanted[module].get(test, {}) and to_label not in there:
                wanted[to_module].setdefault(to_test, {})[to_label] = wanted[module][test][label]
                wanted[module] = _changed(wanted[module], {(test, label): None})
                gained[to_module] = None
        changed = []
        for module in [*gained, *(name for name in wanted if name not in gained)]:
            contents = found[module]
            if device is not None and wanted[module] != (contents[1] if contents else {}):
                changed.append(self._write(folder, device, module, wanted[module]))
        return changed

    def _apply(self, module: str, asked: _Asked) -> list[Path]:
        path = files.module_path(self.folder, module)
        contents = self._fresh(path, self._device.key, module)
        recorded = contents[1] if contents else {}
        wanted = _changed(recorded, asked)
        if wanted == recorded:
            return []
        return [self._write(self.folder, self._device, module, wanted)]

    def _write(self, folder: Path, device: Device, module: str, wanted: Plain) -> Path:
        """Write a device's file of a module, or remove it if it has no entry left."""
        path = files.module_path(folder, module)
        if wanted:
            files.write_file(self._root, path, _rendered(path, device, module, wanted))
        else:
            files.remove(self._root, path)
        return path

    def _contents(self, key: str, module: str) -> tuple[Document, Plain] | None:
        path = files.module_path(files.device_folder(self._root, key), module)
        if path not in self._read:
            self._read[path] = self._fresh(path, key, module)
        return self._read[path]

    def _fresh(self, path: Path, key: str, module: str) -> tuple[Document, Plain] | None:
        data = files.read_file(self._root, path)
        if data is None:
            return None
        try:
            return document.parse_document(data, key, module)
        except document.NewerFormatError as error:
            raise BaselineError(
                f"{path}: {error}: upgrade pytest-hiddencost, or delete the file and record again "
                "with --hiddencost-update"
            ) from error
        except FormatError as error:
            raise files.unusable(path, str(error)) from error

    def _other_keys(self) -> list[str]:
        try:
            names = sorted(item.name for item in self._root.iterdir() if item.is_dir())
        except OSError:
            return []
        keys = map(files.decoded, names)
        return [key for key in keys if key is not None and key != self._device.key]

    def _distance(self, other: Device) -> tuple[bool, bool, bool, str]:
        own = self._device
        differs = other.cores != own.cores, other.threads != own.threads, other.torch != own.torch
        return *differs, other.key


def _rendered(path: Path, device: Device, module: str, entries: Plain) -> bytes:
    """Return the file's new contents, after a check that they can be read back unchanged."""
    try:
        data = document.render(device, module, entries)
        if len(data) > files.MAX_BYTES:
            raise FormatError(f"it has {len(data)} bytes, and a baseline at most {files.MAX_BYTES}")
        if document.parse_document(data, device.key, module)[1] != entries:
            raise FormatError("its entries would change")
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"{path}: not written, it could not be read back: {error}") from error
    return data


def _kin(device: Device) -> tuple[str, str, str]:
    return device.kind, device.model, device.arch


def _flat(contents: tuple[Document, Plain] | None) -> dict[tuple[str, str], Entry]:
    if contents is None:
        return {}
    entries = contents[0].entries.items()
    return {(test, label): entry for test, by in entries for label, entry in by.items()}


def _changed(recorded: Plain, asked: _Asked) -> Plain:
    """Return the entries after the change; all others keep even their unknown keys."""
    wanted = {test: dict(labels) for test, labels in recorded.items()}
    for (test, label), entry in asked.items():
        if entry is None:
            wanted.get(test, {}).pop(label, None)
        else:
            wanted.setdefault(test, {})[label] = encode(entry)
    return {test: labels for test, labels in wanted.items() if labels}
