"""The cache of a device: unpacked sources by the hash of their contents."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_hiddencost.fleet.sources import HISTORY, PROJECT
from pytest_hiddencost.system.git import git

KEPT = 4  # unpacked sources on a device
ARCHIVE, IN_USE = "sources.tar.gz", "in-use"


class SourcesCache:
    """Archives and unpacked trees below ``folder``; one test at a time uses a tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running = ""  # the name of the tree that a test of this process uses

    def has(self, name: str) -> bool:
        """Return whether the archive of this hash is here."""
        return (self.folder / name / ARCHIVE).is_file()

    def add(self, name: str, data: bytes) -> None:
        """Keep an archive; remove the oldest ones beyond ``KEPT``, never one that a test uses.

        Raises ``OSError``.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        others = [path.parent for path in self.folder.glob(f"*/{ARCHIVE}")]  # Dask has a folder too
        others = [path for path in others if path.name != name]
        others.sort(key=lambda p: (p.name == self._running, p.stat().st_mtime), reverse=True)
        for path in others[KEPT - 1 :]:
            shutil.rmtree(path, ignore_errors=True)
        (self.folder / name).mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.folder / name)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, self.folder / name / ARCHIVE)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def tree(self, name: str) -> Path:
        """Return the unpacked sources, fresh if the last test did not give them back.

        Raises ``OSError`` and ``GitError``.
        """
        folder = self.folder / name
        self._running = name
        os.utime(folder)
        project, marker = folder / PROJECT, folder / IN_USE
        if marker.exists() or not project.is_dir():
            marker.touch()
            shutil.rmtree(project, ignore_errors=True)
            _unpack(folder / ARCHIVE, folder)
        marker.touch()
        return project

    def forget(self, name: str) -> None:
        """Remove sources that could not be used: the run sends them again."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        self._running = ""

    def give_back(self, name: str) -> None:
        """Note that the tree is as it was unpacked."""
        (self.folder / name / IN_USE).unlink(missing_ok=True)
        self._running = ""


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack the project; with a history, it becomes a repository at the same commit."""
    project = folder / PROJECT
    project.mkdir()
    careful: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as opened:
        opened.extractall(folder, **careful)
    bundle = folder / HISTORY
    if not bundle.exists():
        return
    git(project, "init", "--quiet")
    git(project, "fetch", "--quiet", str(bundle), "HEAD:refs/heads/hiddencost-fleet")
    git(project, "symbolic-ref", "HEAD", "refs/heads/hiddencost-fleet")
    git(project, "reset", "--quiet", "--mixed")
    bundle.unlink()
