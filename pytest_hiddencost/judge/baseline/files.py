"""Baselines on disk: names that stay in their folder, bounded reads, writes in one step, a lock.

``root`` is the base directory, resolved; nothing is read or written through a link below it.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote
from uuid import uuid4

from pytest_hiddencost.core.errors import BaselineError

SUFFIX = ".json"
LOCK = ".lock"
TEMPORARY = ".writing-{}.tmp"
IGNORED = (
    "# Written by pytest-hiddencost. The baselines beside this file are meant to be committed.\n"
    f"{LOCK}\n{TEMPORARY.format('*')}\n"
)

MAX_BYTES = 16 * 2**20
MAX_NAME_BYTES = 255  # of a file's or folder's name, on every common file system
LOCK_TIMEOUT_S = 60.0

_SAFE = " +,=@()"  # beside letters, digits and _.-~
_EMPTY = "%"  # no other name is encoded to a bare percent sign


# --- names -------------------------------------------------------------------------------------


def encoded(part: str) -> str:
    """A name for one component, different from every other's; never hidden, never ``..``."""
    bare = part.lstrip(".")
    dots = "%2E" * (len(part) - len(bare))
    return dots + quote(bare, safe=_SAFE, errors="surrogatepass") or _EMPTY


def decoded(name: str) -> str | None:
    """The component that :func:`encoded` gave this name; None if it gave it to none."""
    part = _unquoted(name)
    return part if encoded(part) == name else None


def _unquoted(name: str) -> str:
    if name == _EMPTY:
        return ""
    try:
        return unquote(name, errors="surrogatepass")
    except UnicodeDecodeError:
        return name  # which would be encoded to another


def module_path(folder: Path, module: str) -> Path:
    """The file of a module, different from every other's and never outside ``folder``."""
    *parents, file = module.split("/")
    names = [_parent_name(part) for part in parents] + [encoded(file) + SUFFIX]
    for name in names:
        _refuse_long(name, module)
    return folder.joinpath(*names)


def device_folder(root: Path, key: str) -> Path:
    """The folder of a device key."""
    name = encoded(key)
    _refuse_long(name, key)
    return root / name


def _parent_name(part: str) -> str:
    # A folder never ends as files do: tests/a.py may have a file beside tests/a.py.json/b.py.
    name = encoded(part)
    return name.removesuffix(SUFFIX) + "%2Ejson" if name.endswith(SUFFIX) else name


def _refuse_long(name: str, whole: str) -> None:
    if len(name) > MAX_NAME_BYTES:  # the name is ASCII
        raise BaselineError(
            f"{whole!r:.400}: no baseline can be kept under so long a name: {name:.60}... takes "
            f"{len(name)} bytes, and {MAX_NAME_BYTES} are possible; shorten it"
        )


def modules_below(root: Path, folder: Path) -> list[str]:
    """Every module with a file in the folder of a device; a file of another name is refused."""
    refuse_links(root, folder)
    found = []
    try:
        for parent, folders, files in os.walk(folder, onerror=_raise):
            for name in [*folders, *files]:  # a link to nothing is among the files
                refuse_links(root, Path(parent, name))
            found += [Path(parent, name) for name in files if name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error
    return sorted(_module_of(folder, path) for path in found)


def _raise(error: OSError) -> NoReturn:
    raise error


def _module_of(folder: Path, path: Path) -> str:
    *parents, file = path.relative_to(folder).parts
    module = "/".join(_unquoted(name) for name in [*parents, file.removesuffix(SUFFIX)])
    if module_path(folder, module) != path:
        raise BaselineError(
            f"{path}: is no name that pytest-hiddencost gives to a file: rename it back, or "
            "delete it"
        )
    return module


# --- what is wrong, and the way out ------------------------------------------------------------


def unusable(path: Path, problem: str) -> BaselineError:
    """The error for a file with unusable contents, with the ways to have a usable one again."""
    return BaselineError(
        f"{path}: {problem}. Restore the file (for instance: git checkout -- "
        f"{shlex.quote(str(path))}), or delete it and record again with --hiddencost-update"
    )


def unreadable(path: Path, error: OSError) -> BaselineError:
    """The error for a file or folder that the system does not let us read."""
    return BaselineError(f"{path}: cannot be read: {error.strerror or error}")


def _unwritten(path: Path, error: OSError) -> BaselineError:
    return BaselineError(
        f"{path}: cannot be written: {error.strerror or error}; "
        "nothing was lost: what was recorded before is still there"
    )


def refuse_links(root: Path, path: Path) -> None:
    """Refuse a path of which a part below ``root`` is a symbolic link, whatever it points to."""
    step = root
    for name in path.relative_to(root).parts:
        step = step / name
        try:
            linked = step.is_symlink()
        except OSError as error:
            raise unreadable(step, error) from error
        if linked:
            raise BaselineError(
                f"{step}: is a symbolic link, and baselines are neither read nor written through "
                "one: put what it points to in its place, or delete it"
            )


# --- reading and writing -----------------------------------------------------------------------


def read(root: Path, path: Path) -> bytes | None:
    """The file's contents, None if there is no such file; one of unlikely size is not read."""
    refuse_links(root, path)
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):  # a pipe would be waited for
            raise BaselineError(f"{path}: is no file, and a baseline is kept there: move it away")
        if info.st_size > MAX_BYTES:
            raise unusable(path, f"{info.st_size} bytes are no baseline ({MAX_BYTES} at most)")
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def write(root: Path, path: Path, data: bytes) -> None:
    """Write in one step: readers see the old file or the whole new one, also after a crash."""
    refuse_links(root, path)
    temporary = path.with_name(TEMPORARY.format(uuid4().hex))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:  # not mkstemp: the file's mode is the umask's
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritten(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        _remove_empty(root, path.parent)


def remove(root: Path, path: Path) -> None:
    """Remove a file, and the folders that held nothing else."""
    refuse_links(root, path)
    try:
        path.unlink()
    except OSError as error:
        raise _unwritten(path, error) from error
    _remove_empty(root, path.parent)


def _remove_empty(root: Path, folder: Path) -> None:
    with suppress(OSError):  # the first that is not empty ends it
        while folder != root:
            folder.rmdir()
            folder = folder.parent


# --- one writer at a time ----------------------------------------------------------------------


@contextmanager
def writing(root: Path, folder: Path) -> Iterator[None]:
    """Alone in the base directory, which is made if need be; ``folder`` is the device's."""
    if os.path.lexists(root) and not root.is_dir():
        raise BaselineError(f"{root}: is no folder, and baselines are kept in one: move it away")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(root, error) from error
    with _locked(root):
        refuse_links(root, folder)
        _remove_leftovers(root, folder)
        if not os.path.lexists(root / ".gitignore"):
            write(root, root / ".gitignore", IGNORED.encode())
        yield


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path = root / LOCK
    refuse_links(root, path)
    lock = FileLock(path, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise BaselineError(
            f"{path}: another process held this lock for {LOCK_TIMEOUT_S:g} s; nothing was "
            "written: record again when it has ended"
        ) from error
    except OSError as error:
        raise _unwritten(path, error) from error
    except NotImplementedError as error:  # older filelocks, where the file system knows no locks
        raise BaselineError(f"{path}: cannot be locked: {error}; nothing was written") from error
    try:
        yield
    finally:
        lock.release()


def _remove_leftovers(root: Path, folder: Path) -> None:
    """Remove what killed processes were writing; only the holder of the lock may."""
    pattern = TEMPORARY.format("*")
    for path in [*root.glob(pattern), *folder.rglob(pattern)]:
        with suppress(OSError):  # it is in nobody's way
            path.unlink()
