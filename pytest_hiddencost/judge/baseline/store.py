"""The recorded baselines: a folder per device, a file per test module, an entry per call."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.errors import BaselineError, FormatError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.judge.baseline import files
from pytest_hiddencost.judge.baseline.document import (
    Document,
    NewerFormatError,
    Plain,
    parse,
    render,
)
from pytest_hiddencost.judge.baseline.entries import Entry

Change: TypeAlias = Mapping[tuple[str, str, str], Entry | None]
"""Entries to record by (module, test, label); None drops the one that is there."""

_Asked: TypeAlias = dict[tuple[str, str], Entry | None]


def split_node_id(nodeid: str) -> tuple[str, str]:
    """A pytest node id as module (its file) and test name; ``module::test`` gives it back."""
    module, _, test = nodeid.partition("::")
    return module, test


class Baselines:
    """The baselines of one device, in its folder below ``base``; there need be none yet.

    A file is read when it is first asked for. One that cannot be used is a ``BaselineError`` that
    names it and the way out, and is never overwritten. Nothing is created but by :meth:`update`.
    """

    def __init__(self, base: Path, device: Device) -> None:
        try:
            self._root = base.resolve()
        except (OSError, RuntimeError) as error:  # a loop of links, to Python before 3.13
            raise BaselineError(f"{base}: cannot be read: {error}") from error
        self._device = device
        self._read: dict[Path, tuple[Document, Plain] | None] = {}
        self.folder = files.device_folder(self._root, device.key)
        """Where this device's baselines are, if there are any."""

    def entry(self, module: str, test: str, label: str) -> Entry | None:
        """What was recorded of one call on this device, None if it is new."""
        return _entry(self._contents(self._device.key, module), test, label)

    def entries(self, module: str) -> Mapping[tuple[str, str], Entry]:
        """What was recorded of a module on this device, by test name and label."""
        contents = self._contents(self._device.key, module)
        return {} if contents is None else dict(_flat(contents[0]))

    def modules(self) -> list[str]:
        """The modules that have recorded entries of this device, sorted."""
        return files.modules_below(self._root, self.folder)

    def elsewhere(self, module: str, test: str, label: str) -> list[tuple[Device, Entry]]:
        """The same call as recorded on this hardware set up otherwise, nearest first.

        Kind, model and architecture are the same; cores, threads or torch differ. Files that
        cannot be used are passed over: they are none of this device's business.
        """
        found = []
        for key in self._other_keys():
            with suppress(BaselineError):
                contents = self._contents(key, module)
                entry = _entry(contents, test, label)
                if contents and entry and _kin(contents[0].device) == _kin(self._device):
                    found.append((contents[0].device, entry))
        return sorted(found, key=lambda item: self._distance(item[0]))

    def update(self, change: Change) -> list[Path]:
        """Apply exactly this change to what is recorded now; gives the files that it changed.

        A file whose last entry is dropped is removed. Other processes may update at the same
        time. ``BaselineError`` names every file that could not be read or written and was left as
        it was; the change is applied to all others.
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

    def _apply(self, module: str, asked: _Asked) -> list[Path]:
        path = files.module_path(self.folder, module)
        contents = self._fresh(path, self._device.key, module)
        recorded = contents[1] if contents else {}
        wanted = _changed(recorded, asked)
        if wanted == recorded:
            return []
        if wanted:
            files.write(self._root, path, self._rendered(path, module, wanted))
        else:
            files.remove(self._root, path)
        return [path]

    def _rendered(self, path: Path, module: str, entries: Plain) -> bytes:
        """The file's new contents; nothing is written that could not be read again."""
        try:
            data = render(self._device, module, entries)
            if len(data) > files.MAX_BYTES:
                raise FormatError(f"it takes {len(data)} bytes, {files.MAX_BYTES} at most")
            if parse(data, self._device.key, module)[1] != entries:
                raise FormatError("it would be read as something else")
        except (ValueError, RecursionError) as error:
            raise BaselineError(f"{path}: not written, it could not be read: {error}") from error
        return data

    def _contents(self, key: str, module: str) -> tuple[Document, Plain] | None:
        path = files.module_path(files.device_folder(self._root, key), module)
        if path not in self._read:
            self._read[path] = self._fresh(path, key, module)
        return self._read[path]

    def _fresh(self, path: Path, key: str, module: str) -> tuple[Document, Plain] | None:
        data = files.read(self._root, path)
        if data is None:
            return None
        try:
            return parse(data, key, module)
        except NewerFormatError as error:
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
        keys = [files.decoded(name) for name in names]
        return [key for key in keys if key is not None and key != self._device.key]

    def _distance(self, other: Device) -> tuple[bool, bool, bool, str]:
        own = self._device
        return (
            other.cores != own.cores,
            other.threads != own.threads,
            other.torch != own.torch,
            other.key,
        )


def _kin(device: Device) -> tuple[str, str, str]:
    return device.kind, device.model, device.arch


def _entry(contents: tuple[Document, Plain] | None, test: str, label: str) -> Entry | None:
    return contents[0].entries.get(test, {}).get(label) if contents else None


def _flat(document: Document) -> Iterator[tuple[tuple[str, str], Entry]]:
    for test, labels in document.entries.items():
        for label, entry in labels.items():
            yield (test, label), entry


def _changed(recorded: Plain, asked: _Asked) -> Plain:
    """The entries after the change; those it does not name are kept to the last unknown key."""
    wanted = {test: dict(labels) for test, labels in recorded.items()}
    for (test, label), entry in asked.items():
        if entry is None:
            wanted.get(test, {}).pop(label, None)
        else:
            wanted.setdefault(test, {})[label] = encode(entry)
    return {test: labels for test, labels in wanted.items() if labels}
