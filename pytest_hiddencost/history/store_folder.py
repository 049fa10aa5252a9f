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
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history.store_names import StoredFile, stored_file
from pytest_hiddencost.history.store_tables import RUNS

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "memory"}
_USER = re.compile(r"(?<=://)[^/@]+@")


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
        self.local = "file" in self._protocols
        """Whether the folder is on a disk of this machine, or mounted."""

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

    def url(self, file: StoredFile) -> str:
        """Return the address that another program knows: a path, or a URL."""
        path = self.full_path(file)
        return path if self.local else str(self.filesystem.unstrip_protocol(path))

    def check_writable(self) -> None:
        """Check that files can be added."""
        with self._told("cannot be written"):
            if self.local:
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
            elif self.local:
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
            for path in self._found(folder):
                file = stored_file(path)
                if file is not None and file.table == table and file.month >= since:
                    yield file

    def _found(self, folder: str) -> Iterator[str]:
        """Return the paths of all files below a folder, which need not be there yet."""
        if not self.local:
            yield from self.filesystem.find(folder)
            return
        # fsspec would take a folder that cannot be read for an empty one.
        for top, _, names in os.walk(folder, onerror=_raise_unless_missing):
            yield from (f"{top}/{name}".replace(os.sep, "/") for name in names)

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


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


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
