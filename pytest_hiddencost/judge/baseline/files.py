"""Baselines on disk: names that stay in their folder, bounded reads, atomic writes, a lock.

``root`` is the base directory, resolved. Links below it are never followed.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
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
MAX_NAME_BYTES = 255  # of a file or folder on every common file system
LOCK_TIMEOUT_S = 60.0

_SAFE = " +,=@()"  # beside letters, digits and _.-~
_EMPTY = "%"  # no other name is encoded to a bare percent sign


def encoded(part: str) -> str:
    """Return a unique file name for one component of a path; never hidden, never ``..``."""
    bare = part.lstrip(".")
    dots = "%2E" * (len(part) - len(bare))
    return dots + quote(bare, safe=_SAFE, errors="surrogatepass") or _EMPTY


def decoded(name: str) -> str | None:
    """Return the component whose name :func:`encoded` made; None for a name of another origin."""
    part = _unquoted(name)
    return part if encoded(part) == name else None


def _unquoted(name: str) -> str:
    try:
        return "" if name == _EMPTY else unquote(name, errors="surrogatepass")
    except UnicodeDecodeError:
        return name  # encoded, it gets another name


def module_path(folder: Path, module: str) -> Path:
    """Return the unique file of a module, never outside ``folder``."""
    *parents, file = map(encoded, module.split("/"))
    # A folder never ends as files do: tests/a.py may have a file beside tests/a.py.json/b.py.
    inner = [f"{n.removesuffix(SUFFIX)}%2Ejson" if n.endswith(SUFFIX) else n for n in parents]
    return _below(folder, [*inner, file + SUFFIX], module)


def device_folder(root: Path, key: str) -> Path:
    """Return the folder of a device key."""
    return _below(root, [encoded(key)], key)


def _below(folder: Path, names: Sequence[str], whole: str) -> Path:
    for name in names:
        if len(name) > MAX_NAME_BYTES:  # the name is ASCII
            raise BaselineError(
                f"{whole!r:.400}: the name is too long for a baseline: {name:.60}... takes "
                f"{len(name)} bytes, and a file name may have {MAX_NAME_BYTES}; shorten it"
            )
    return folder.joinpath(*names)


def modules_below(root: Path, folder: Path) -> list[str]:
    """Return every module with a file in a device's folder, sorted; refuse files of other names."""
    refuse_links(root, folder)
    found: list[Path] = []
    errors: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=errors.append):
        for name in [*folders, *files]:  # a link to nothing is among the files
            refuse_links(root, Path(parent, name))
        found += [Path(parent, name) for name in files if name.endswith(SUFFIX)]
    if errors and not isinstance(errors[0], FileNotFoundError):
        raise unreadable(folder, errors[0]) from errors[0]
    return [] if errors else sorted(_module_of(folder, path) for path in found)


def _module_of(folder: Path, path: Path) -> str:
    *parents, file = path.relative_to(folder).parts
    module = "/".join(_unquoted(name) for name in [*parents, file.removesuffix(SUFFIX)])
    if module_path(folder, module) != path:
        raise BaselineError(
            f"{path}: is not a name that pytest-hiddencost gives to a file: rename it back, or "
            "delete it"
        )
    return module


def unusable(path: Path, problem: str) -> BaselineError:
    """Return the error for a file with unusable contents, with its remedies."""
    return BaselineError(
        f"{path}: {problem}. Restore the file (for instance: git checkout -- "
        f"{shlex.quote(str(path))}), or delete it and record again with --hiddencost-update"
    )


def unreadable(path: Path, error: OSError) -> BaselineError:
    """Return the error for a file or folder that the system cannot read."""
    return BaselineError(f"{path}: cannot be read: {error.strerror or error}")


def _unwritten(path: Path, error: OSError) -> BaselineError:
    return BaselineError(
        f"{path}: cannot be written: {error.strerror or error}; "
        "nothing was lost: the earlier baselines are unchanged"
    )


def refuse_links(root: Path, path: Path) -> None:
    """Refuse a path with a symbolic link below ``root``. Raises ``BaselineError``."""
    step = root
    for name in path.relative_to(root).parts:
        step = step / name
        try:
            linked = step.is_symlink()
        except OSError as error:
            raise unreadable(step, error) from error
        if linked:
            raise BaselineError(
                f"{step}: is a symbolic link, and hiddencost does not follow links to baselines: "
                "replace it by its target, or delete it"
            )


def read_file(root: Path, path: Path) -> bytes | None:
    """Return the file's contents, None if there is none. Raises ``BaselineError``."""
    refuse_links(root, path)
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode):  # to read a pipe is to wait for a writer
            raise BaselineError(f"{path}: is not a file, but a baseline lies here: move it away")
        if info.st_size > MAX_BYTES:
            raise unusable(path, f"has {info.st_size} bytes, and a baseline at most {MAX_BYTES}")
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def write_file(root: Path, path: Path, data: bytes) -> None:
    """Write in one step: readers see the old file or the whole new one, even after a crash."""
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
    """Remove a file, and the folders that are then empty."""
    refuse_links(root, path)
    try:
        path.unlink()
    except OSError as error:
        raise _unwritten(path, error) from error
    _remove_empty(root, path.parent)


def _remove_empty(root: Path, folder: Path) -> None:
    with suppress(OSError):  # the first folder with contents ends the loop
        while folder != root:
            folder.rmdir()
            folder = folder.parent


@contextmanager
def writing(root: Path, folder: Path) -> Iterator[None]:
    """Hold the lock of the base directory, and create it first; ``folder`` is the device's."""
    if os.path.lexists(root) and not root.is_dir():
        raise BaselineError(f"{root}: is not a folder, but baselines lie in one: move it away")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(root, error) from error
    with _locked(root):
        refuse_links(root, folder)
        leftovers = TEMPORARY.format("*")  # of killed processes
        for path in [*root.glob(leftovers), *folder.rglob(leftovers)]:
            with suppress(OSError):  # a leftover does no harm
                path.unlink()
        if not os.path.lexists(root / ".gitignore"):
            write_file(root, root / ".gitignore", IGNORED.encode())
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
