"""Models in files: exported programs, and TorchScript."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pytest_hiddencost.core.errors import MeasurementError

EXPORTED = ".pt2"
MOST_CHARACTERS = 300  # of an error's first line

Example = tuple[tuple[object, ...], dict[str, object]]


def one_line(error: BaseException) -> str:
    """Return the type of an error, and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    return f"{name}: {lines[0]:.{MOST_CHARACTERS}}" if lines else name


def from_file(path: Path) -> tuple[torch.nn.Module, Example | None]:
    """Return the module in a file, and the example of its arguments that the file may have.

    Nothing is unpickled that could run code. Raises ``MeasurementError``.
    """
    if not path.is_file():
        raise MeasurementError(f"there is no file {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is old
        return _exported(path) if path.suffix == EXPORTED else (_scripted(path), None)


def _exported(path: Path) -> tuple[torch.nn.Module, Example | None]:
    try:
        program = torch.export.load(path)
        module = program.module()
    except Exception as error:
        raise MeasurementError(
            f"{path} holds no exported program that torch {torch.__version__} can read: "
            f"{one_line(error)}; write it with torch.export.save"
        ) from error
    example: Any = program.example_inputs
    return module, None if example is None else (tuple(example[0]), dict(example[1]))


def _scripted(path: Path) -> torch.nn.Module:
    try:
        module: torch.nn.Module = torch.jit.load(str(path), map_location="cpu")
    except Exception as error:
        raise MeasurementError(_no_script(path, error)) from error
    return module


def _no_script(path: Path, error: Exception) -> str:
    """Return why a file is no TorchScript; look into it without running code of it."""
    other = (
        f"{path} holds no TorchScript: {one_line(error)}; write it with torch.jit.save, or export "
        f"the model to a {EXPORTED} file"
    )
    with path.open("rb") as file:
        if not zipfile.is_zipfile(path) and file.read(1) != pickle.PROTO:
            return other
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return (
            f"{path} holds pickled objects, and unpickling them would run code; name a function "
            "that loads the model: --hiddencost-model=package.module:function"
        )
    except Exception:  # it is damaged
        return other
    if isinstance(found, Mapping):
        what = f"a state dict ({len(found)} entries, such as {next(iter(found), None)!r:.80})"
    else:
        what = f"an object of type {type(found).__name__}"
    return (
        f"{path} holds {what} and no model; name a function that makes the model and loads it: "
        "--hiddencost-model=package.module:function"
    )
