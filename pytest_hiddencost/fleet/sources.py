"""The project's sources as one archive: what git tracks, what is uncommitted, the history."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pytest_hiddencost.core import units
from pytest_hiddencost.core.errors import FleetError, GitError
from pytest_hiddencost.system.git import git, is_shallow, top_folder

MOST_BYTES = 256 * 2**20
PROJECT, HISTORY = "project", "history.bundle"  # names in the archive


@dataclass(frozen=True)
class ProjectSources:
    """An archive of the repository at ``top``; ``name`` is the hash of its contents.

    ``remark`` says why the history does not travel, if it was asked for.
    """

    name: str
    data: bytes
    top: Path
    remark: str = ""


def pack_sources(root: Path, history: Sequence[str] = ()) -> ProjectSources:
    """Pack the repository around ``root``; ``history`` are commits that comparisons need.

    Files that git ignores stay here. Raises ``FleetError``.
    """
    try:
        top = top_folder(root).resolve()
        names = sorted(_files(top))
        bundle, remark = _history(top, history) if history else (b"", "")
    except GitError as error:
        raise FleetError(
            f"the sources of {root} cannot travel to the devices: {error}; a fleet needs a git "
            "repository around the tests"
        ) from error
    _check_size(top, names, len(bundle))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in names:
            _add(archive, top, name)
        if bundle:
            member = tarfile.TarInfo(HISTORY)
            member.size = len(bundle)
            archive.addfile(member, io.BytesIO(bundle))
    data = gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)
    return ProjectSources(sha256(raw.getvalue()).hexdigest()[:32], data, top, remark)


def _files(top: Path, prefix: str = "") -> Iterator[str]:
    """Yield tracked and untracked files, those of submodules too, relative to the first top."""
    folder = top / prefix
    listed = git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in dict.fromkeys(filter(None, listed.split("\0"))):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            if (path / ".git").exists():
                yield from _files(top, f"{prefix}{name.rstrip('/')}/")
        elif path.is_symlink() or path.is_file():  # one that was deleted is no longer there
            yield prefix + name


def _check_size(top: Path, names: Sequence[str], more: int) -> None:
    sizes = {name: (top / name).lstat().st_size for name in names}
    total = sum(sizes.values()) + more
    if total <= MOST_BYTES:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    shown = [f"{name} {units.format_quantity('bytes', sizes[name])}" for name in largest]
    if more:
        shown.append(f"the history {units.format_quantity('bytes', more)}")
    raise FleetError(
        f"the sources have {units.format_quantity('bytes', total)}, and at most "
        f"{units.format_quantity('bytes', MOST_BYTES)} travel to a device: {', '.join(shown)}; let "
        "git ignore large files, and fetch them in the tests"
    )


def _add(archive: tarfile.TarFile, top: Path, name: str) -> None:
    """Add a file without its owner and time, so that equal sources have an equal hash."""
    path = top / name
    member = tarfile.TarInfo(f"{PROJECT}/{name}")
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(member)
        return
    data = path.read_bytes()
    member.size, member.mode = len(data), 0o755 if mode & stat.S_IXUSR else 0o644
    archive.addfile(member, io.BytesIO(data))


def _history(top: Path, commits: Sequence[str]) -> tuple[bytes, str]:
    """Return a bundle of HEAD and these commits, or why there is none."""
    if is_shallow(top):
        return b"", f"{top.name} is a shallow clone: devices cannot compare with other commits"
    with tempfile.TemporaryDirectory(prefix="hiddencost-bundle-") as folder:
        path = Path(folder, HISTORY)
        git(top, "bundle", "create", "--quiet", str(path), "HEAD", *commits)
        return path.read_bytes(), ""
