"""The project's sources as one archive: what git tracks, what is uncommitted, the history."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pytest_hiddencost.core import units
from pytest_hiddencost.core.errors import FleetError, GitError
from pytest_hiddencost.system.git import git, is_shallow, top_folder
from pytest_hiddencost.workers.carried import SKIPPED, matching, within

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


def pack_sources(
    root: Path, history: Sequence[str] = (), carried: Sequence[str] = ()
) -> ProjectSources:
    """Pack the repository around ``root``; ``history`` are commits that comparisons need.

    Files that git ignores stay here, but for those of ``carried``: absolute paths or globs. Raises
    ``FleetError``.
    """
    try:
        top = top_folder(root).resolve()
        stats = _stats(top, carried)
        bundle, remark = _history(top, history) if history else (b"", "")
    except GitError as error:
        raise FleetError(
            f"the sources of {root} cannot travel to the devices: {error}; a fleet needs a git "
            "repository around the tests"
        ) from error
    _check_size(stats, len(bundle))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, found in stats.items():
            _add(archive, top, name, found)
        if bundle:
            member = tarfile.TarInfo(HISTORY)
            member.size = len(bundle)
            archive.addfile(member, io.BytesIO(bundle))
    data = gzip.compress(raw.getvalue(), compresslevel=1, mtime=0)
    return ProjectSources(sha256(raw.getvalue()).hexdigest()[:32], data, top, remark)


def _stats(top: Path, carried: Sequence[str]) -> dict[str, os.stat_result]:
    """Return the files to pack; a link that the user carries is the file that it leads to."""
    followed = set(_carried(top, carried))
    return {
        name: (top / name).stat(follow_symlinks=name in followed)
        for name in sorted({*_files(top), *followed})
    }


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


def _carried(top: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Yield the files that the user names, those in folders too, relative to the top."""
    for pattern in patterns:
        found = within(top, matching(pattern))
        if not found:
            raise FleetError(
                f"{pattern} names no file below {top}, so nothing can travel to the devices; "
                "put it there, or change --hiddencost-carry or --hiddencost-model"
            )
        for name, source in found.items():
            files = source.rglob("*") if source.is_dir() else [source]
            for file in files:
                below = file.relative_to(source)
                if file.is_file() and not SKIPPED.intersection(below.parts):
                    yield (Path(name) / below).as_posix()


def _check_size(stats: Mapping[str, os.stat_result], more: int) -> None:
    sizes = {name: found.st_size for name, found in stats.items()}
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


def _add(archive: tarfile.TarFile, top: Path, name: str, found: os.stat_result) -> None:
    """Add a file without its owner and time, so that equal sources have an equal hash."""
    path = top / name
    member = tarfile.TarInfo(f"{PROJECT}/{name}")
    if stat.S_ISLNK(found.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(member)
        return
    data = path.read_bytes()
    member.size, member.mode = len(data), 0o755 if found.st_mode & stat.S_IXUSR else 0o644
    archive.addfile(member, io.BytesIO(data))


def _history(top: Path, commits: Sequence[str]) -> tuple[bytes, str]:
    """Return a bundle of HEAD and these commits, or why there is none."""
    if is_shallow(top):
        return b"", f"{top.name} is a shallow clone: devices cannot compare with other commits"
    with tempfile.TemporaryDirectory(prefix="hiddencost-bundle-") as folder:
        path = Path(folder, HISTORY)
        git(top, "bundle", "create", "--quiet", str(path), "HEAD", *commits)
        return path.read_bytes(), ""
