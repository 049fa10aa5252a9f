"""Files that are written in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_KERNEL = ("/dev/", "/proc/")  # folders whose files the kernel makes
_FILES = ("/dev/shm/",)  # and files of the user's in them
_MOST_LINKS = 40  # as the kernel follows


def resolved(path: Path) -> Path:
    """Return the file that a path leads to through links, whether it exists or not."""
    return Path(os.path.realpath(path))


def is_of_kernel(path: Path) -> bool:
    """Return whether a path leads through ``/dev`` or ``/proc``, such as ``/dev/stdout``.

    It may end at a regular file that a process has open. A file in its place would not be the one
    that the process writes to.
    """
    for _ in range(_MOST_LINKS):
        path = resolved(path.parent) / path.name
        if str(path).startswith(_KERNEL) and not str(path).startswith(_FILES):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Give a file to write to; it takes the path's place at the end, if nothing was raised.

    Readers see the old file or the whole new one. A link stays, and the file that it leads to is
    replaced. ``mode`` are its permission bits; None: those of a new file. Raises ``OSError``.
    """
    import tempfile  # readers start without it

    path = resolved(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(name).chmod(0o666 & ~_umask() if mode is None else mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
