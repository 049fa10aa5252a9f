"""Lines of the repository: the place of a call site or a test, as a reviewer sees it.

A call site's file is relative to the folder that Python imported it from (``sys.path``), and a
reviewer's to the top of the repository: ``net.py`` may be ``services/a/src/net.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_hiddencost.core.errors import GitError
from pytest_hiddencost.system.git import top_folder, tracked_files

LAYOUTS = ("", "src")  # folders below a project from which Python imports


@dataclass(frozen=True)
class SourceLine:
    """A line of a file; the path is relative to the top of the repository, with slashes."""

    path: str
    line: int


@dataclass(frozen=True)
class SourceTree:
    """The sources of a repository: its top folder, and the tracked Python files.

    ``folders`` are the working folders, relative to the top, those to prefer first. ``tracked`` is
    None if git cannot tell.
    """

    top: Path
    folders: tuple[str, ...]
    tracked: frozenset[str] | None = None

    def of_call_site(self, line: str) -> SourceLine | None:
        """Return the line of a call site (``net.py:12``); None if its file is not known for sure.

        An installed package, for example, is not in the repository.
        """
        file, _, number = line.rpartition(":")
        if not file or not number.isdecimal():
            return None
        path = self._tracked(file) if self.tracked is not None else self._existing(file)
        return None if path is None else SourceLine(path, int(number))

    def of_file(self, path: Path, line: int) -> SourceLine | None:
        """Return the line of a file by its path; None outside the repository."""
        try:
            inside = path.resolve().relative_to(self.top.resolve())
        except (OSError, ValueError):
            return None
        return SourceLine(inside.as_posix(), line) if path.is_file() else None

    def _tracked(self, file: str) -> str | None:
        """Return the one tracked file that ends in this path; the working folders decide."""
        assert self.tracked is not None
        alike = [path for path in self.tracked if path == file or path.endswith(f"/{file}")]
        own = [joined(folder, file) for folder in self.folders]
        found = [path for path in alike if path in own or not self._in_package(path, file)]
        for folder in self.folders if len(found) > 1 else ():
            if joined(folder, file) in found:
                return joined(folder, file)
            inside = [path for path in found if not folder or path.startswith(f"{folder}/")]
            if len(inside) == 1:
                return inside[0]
        return found[0] if len(found) == 1 else None

    def _in_package(self, path: str, file: str) -> bool:
        """Return whether the rest of the path is a package, from which Python imports nothing."""
        rest = path.removesuffix(file).rstrip("/")
        return self.tracked is not None and joined(rest, "__init__.py") in self.tracked

    def _existing(self, file: str) -> str | None:
        """Return the first file that exists below a working folder or the top."""
        below = dict.fromkeys(
            joined(folder, layout, file) for folder in (*self.folders, "") for layout in LAYOUTS
        )
        return next((path for path in below if Path(self.top, path).is_file()), None)


def joined(*parts: str) -> str:
    """Join the parts of a path with slashes; empty parts count for nothing."""
    return PurePosixPath(*filter(None, parts)).as_posix()


def source_tree(folders: Sequence[Path], checkout: Path | None = None) -> SourceTree:
    """Return the sources around the working folders, of which the first is preferred.

    Without git, the top is ``checkout`` if the first folder lies in it, else this folder.
    """
    first = folders[0].resolve()
    tracked: frozenset[str] | None = None
    try:
        top = top_folder(first)
        tracked = tracked_files(first, "*.py")
    except GitError:  # no git, no repository, or one of another user's
        outside = checkout is None or not first.is_relative_to(checkout.resolve())
        top = first if checkout is None or outside else checkout.resolve()
    inside = [folder.resolve() for folder in folders if folder.resolve().is_relative_to(top)]
    below = dict.fromkeys(folder.relative_to(top).as_posix() for folder in inside)
    return SourceTree(top, tuple("" if path == "." else path for path in below), tracked)
