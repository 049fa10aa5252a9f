"""Names in a store: its files, the folders of its devices, and ids that sort by time."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

_FILE = re.compile(
    r"/(?P<table>\w+)/device=(?P<device>[^/]+)/month=(?P<month>\d{4}-\d\d)"
    r"/(?P<part>\d{6}-[0-9a-f-]{36})\.parquet$"
)


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


def stored_file(path: str) -> StoredFile | None:
    """Return the file that a path of a file system names; None if it is none of a store."""
    found = _FILE.search(path)
    return StoredFile(**found.groupdict()) if found else None


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


def new_run_id(time: datetime) -> str:
    """Return an id that sorts by time: UUID version 7 (RFC 9562), which Python has from 3.14 on."""
    random = int.from_bytes(os.urandom(10), "big")
    milliseconds = int(time.timestamp() * 1000) & (1 << 48) - 1
    high = milliseconds << 16 | 0x7000 | random >> 68
    low = 0b10 << 62 | random & (1 << 62) - 1
    return str(UUID(int=high << 64 | low))


def time_of_id(run_id: str) -> float:
    """Return the time of an id's making, in seconds since 1970. Raises ``ValueError``."""
    return (UUID(run_id).int >> 80) / 1000
