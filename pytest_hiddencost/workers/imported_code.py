"""The files that head and base import, and whether they run different code."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.listing import listed

SOURCE_FOLDERS = ("", "src", "lib", "python")  # of a repository, where its packages may lie
MOST_PACKAGES = 6


class SameCode(InterleavingError):
    """Head and base run the same code, so that a comparison would show no change."""


@dataclass(frozen=True)
class ModelCode:
    """The code of a named model: the name of a module, or of one of ``files``."""

    name: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def module_files(modules: Mapping[str, ModuleType] | None = None) -> dict[str, Path]:
    """Return the resolved files of imported modules, without the standard library's."""
    library = Path(sysconfig.get_path("stdlib")).resolve()
    found = {}
    for name, module in list((sys.modules if modules is None else modules).items()):
        file = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if not isinstance(file, str) or not os.path.isabs(file):  # torch.ops is no file
            continue
        if top in sys.stdlib_module_names or top == "__main__":
            continue
        path = Path(file).resolve()
        if not path.is_relative_to(library) or _installed(path):
            found[name] = path
    return found


def import_roots(files: Mapping[str, Path], top: Path) -> list[Path]:
    """Return the folders of this tree that modules came from, by ``sys.path`` or by a finder."""
    roots: dict[Path, None] = {}
    for entry in sys.path:
        path = Path(entry or ".").resolve()
        if path.is_relative_to(top) and not _installed(path):
            roots[path] = None
    for name, file in files.items():
        depth = name.count(".") + (file.stem == "__init__")
        if file.is_relative_to(top) and not _installed(file) and len(file.parents) > depth:
            root = file.parents[depth]
            # The name of a package's conftest, or of a file loaded by hand, is not its path.
            if root.is_relative_to(top) and _module_name(root, file) == name:
                roots[root] = None
    return list(roots)


def _module_name(root: Path, file: Path) -> str:
    module = file.parent if file.stem == "__init__" else file.with_suffix("")
    return ".".join(module.relative_to(root).parts)


def _installed(path: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def inside(files: Mapping[str, Path], top: Path) -> dict[str, Path]:
    """Return the modules that come from this tree, without those installed below it."""
    return {
        name: path
        for name, path in files.items()
        if path.is_relative_to(top) and not _installed(path.relative_to(top))
    }


def outside(name: str, base: Mapping[str, Path], top: Path, tree: Path) -> bool:
    """Return whether base has this code neither from its own tree nor from head's."""
    return bool(name) and name not in {**inside(base, tree), **inside(base, top)}


def refuse_same_code(
    head: Mapping[str, Path], base: Mapping[str, Path], top: Path, tree: Path
) -> tuple[str, str]:
    """Return the packages that head imports below ``top``, and base below ``tree``, as texts.

    Raises ``SameCode`` if base runs head's code, or if both run installed code.
    """
    copies = {**installed_copies(head, top), **installed_copies(base, tree)}
    for name, file in copies.items():
        raise SameCode(
            f"head and base both import {name} from {file}: it is installed, so it would be "
            "compared with itself; install it with pip install --editable, or compare with another "
            "interpreter (installed:PYTHON)"
        )
    of_base = inside(base, tree)
    for name, file in inside(base, top).items():
        if name not in of_base or top.is_relative_to(tree):
            raise SameCode(
                f"base imports {name} from head's tree, {file}; import it by a path relative to "
                "the tests"
            )
    if not of_base:
        raise SameCode(
            f"base imports nothing of its own tree, {tree}; import the model from the tree"
        )
    nested = inside(head, tree) if tree.is_relative_to(top) else {}
    of_head = [file for name, file in inside(head, top).items() if name not in nested]
    return _listed(of_head, top), _listed(of_base.values(), tree)


def _listed(files: Iterable[Path], top: Path) -> str:
    return listed(packages(files, top), MOST_PACKAGES) or "nothing"


def packages(files: Iterable[Path], top: Path) -> list[str]:
    """Return the top packages and single modules that these files belong to, as relative paths."""
    found: dict[str, None] = {}
    for file in files:
        package = file.relative_to(top)
        while (top / package.parent / "__init__.py").is_file() and package.parent != Path():
            package = package.parent
        found[package.as_posix()] = None
    return sorted(found)


def installed_copies(files: Mapping[str, Path], top: Path) -> dict[str, Path]:
    """Return packages whose sources lie in the tree, but which were imported as installed.

    Head and base would run the same installed code.
    """
    found: dict[str, Path] = {}
    for name, file in files.items():
        # A module of a namespace package counts by itself: its parent has no file.
        if not _installed(file) or any(name.startswith(f"{known}.") for known in found):
            continue
        for folder in SOURCE_FOLDERS:
            place = top.joinpath(folder, *name.split("."))
            if (place / "__init__.py").is_file() or place.with_name(f"{place.name}.py").is_file():
                found[name] = file
    return found
