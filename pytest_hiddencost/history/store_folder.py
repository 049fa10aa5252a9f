"""A store's folder, on a disk or in an object store: whole files appear, or none.

On a file system a file gets a temporary name, is written through to the disk, and is renamed.
An object store shows an object when its upload is complete, so one upload is enough. Other
systems that fsspec opens, such as SFTP, rename as well; there it depends on the server whether a
reader can meet a file that is half renamed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history.store_tables import RUNS

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "memory"}
_FILE = re.compile(
    r"/(?P<table>\w+)/device=(?P<device>[^/]+)/month=(?P<month>\d{4}-\d\d)"
    r"/(?P<part>\d{6}-[0-9a-f-]{36})\.parquet$"
)
_USER = re.compile(r"(?<=://)[^/@]+@")


@dataclass(frozen=True, order=True)
class StoredFile:
    """A Parquet file of a store. ``part`` is its name: generation and id, which order it."""

    table: str
    device: str  # as the folder's name has it
    month: str
    part: str

    @property
    def path(self) -> str:
        """The path below the store's folder."""
        return f"{self.table}/device={self.device}/month={self.month}/{self.part}.parquet"

    def of(self, table: str) -> StoredFile:
        """Return the file of the same name in another table."""
        return StoredFile(table, self.device, self.month, self.part)


def part_name(generation: int, file_id: str) -> str:
    """Return a file's name: a later generation holds the rows of earlier ones."""
    return f"{generation:06d}-{file_id}"


def generation_of(part: str) -> int:
    """Return the generation of a file: 0 for that of a run."""
    return int(part.partition("-")[0])


def id_of(part: str) -> str:
    """Return the id in a file's name, which says when it was made."""
    return part.partition("-")[2]


def folder_of_device(key: str) -> str:
    """Return the name of a device's folder; a key of ours is one already."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", key) or "unknown"


class StoreFolder:
    """A store's folder, opened by fsspec. Methods raise ``StoreError``."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        self.name = _USER.sub("", url)  # in messages: without a password
        with self._told("cannot be opened"):
            # A listing must not be an old one.
            self.filesystem, self.root = url_to_fs(url, use_listings_cache=False)
        protocols = self.filesystem.protocol
        self._protocols = {protocols} if isinstance(protocols, str) else set(protocols)
        self._local = "file" in self._protocols

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # each of fsspec's file systems has errors of its own
            text = " ".join(str(error).split()) or type(error).__name__
            raise StoreError(f"{self.name}: {what}: {text}") from error

    def full_path(self, file: StoredFile) -> str:
        """Return the path that the file system knows."""
        return f"{self.root}/{file.path}"

    def check_writable(self) -> None:
        """Check that files can be added."""
        with self._told("cannot be written"):
            if self._local:
                _check_folder(Path(self.root))
            else:
                self.filesystem.pipe_file(f"{self.root}/.writable", b"\n")

    def add(self, file: StoredFile, data: bytes) -> None:
        """Add a whole file, in one step."""
        with self._told("cannot be written"):
            path = self.full_path(file)
            temporary = f"{path}.{uuid4().hex}.tmp"
            if self._protocols & OBJECT_STORES:
                self.filesystem.pipe_file(path, data)
            elif self._local:
                _write_through(Path(path), Path(temporary), data)
            else:
                self.filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                self.filesystem.pipe_file(temporary, data)
                self.filesystem.mv(temporary, path)

    def files(
        self, table: str, devices: Sequence[str] = (), since_month: str = ""
    ) -> list[StoredFile]:
        """Return a table's files in the order of their paths; ``devices`` are folder names."""
        with self._told("cannot be read"):
            return sorted(self._files(table, devices, since_month))

    def _files(self, table: str, devices: Sequence[str], since: str) -> Iterator[StoredFile]:
        top = f"{self.root}/{table}"
        for folder in [f"{top}/device={device}" for device in devices] or [top]:
            for path in self.filesystem.find(folder):
                file = stored_file(path)
                if file is not None and file.table == table and file.month >= since:
                    yield file

    def devices(self) -> list[str]:
        """Return the folder names of the devices that have runs."""
        with self._told("cannot be read"):
            try:
                listed = self.filesystem.ls(f"{self.root}/{RUNS}", detail=False)
            except FileNotFoundError:
                return []
        names = [str(path).rstrip("/").rpartition("/device=")[2] for path in listed]
        return sorted(name for name in names if "/" not in name)

    def paths_before(self, seconds: float) -> list[str]:
        """Return the paths of all files that were written before, by the clock of the storage.

        The time in a file's name does not count: the clock of a board may be wrong.
        """
        with self._told("cannot be read"):
            found = self.filesystem.find(self.root, detail=True)
            return [path for path, about in found.items() if _seconds(about) < seconds]

    def read(self, file: StoredFile) -> bytes | None:
        """Return a file's contents; None if it is gone."""
        with self._told("cannot be read"):
            try:
                data: bytes = self.filesystem.cat_file(self.full_path(file))
            except FileNotFoundError:
                return None
            return data

    def remove(self, *paths: str) -> None:
        """Remove files, as the file system names them; they may be gone already."""
        for path in paths:
            with self._told("cannot be written"):
                try:
                    self.filesystem.rm_file(path)
                except FileNotFoundError:
                    continue


def _seconds(about: dict[str, Any]) -> float:
    """Return when a file was written; the end of time if its storage does not say."""
    names = ("mtime", "LastModified", "last_modified", "updated", "created")
    moment = next((about[name] for name in names if about.get(name)), None)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if isinstance(moment, datetime):
        return moment.timestamp()
    return float(moment) if isinstance(moment, int | float) else math.inf


def stored_file(path: str) -> StoredFile | None:
    """Return the file that a path of a file system names; None if it is none of a store."""
    found = _FILE.search(path)
    return StoredFile(**found.groupdict()) if found else None


def _check_folder(folder: Path) -> None:
    import tempfile

    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        pass


def _write_through(path: Path, temporary: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
