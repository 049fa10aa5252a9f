"""The sources of named models: the user's code, libraries of models, and files."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.model_names import ModelName
from pytest_hiddencost.measure.model_files import from_file, one_line

SEED = 0  # of weights and inputs, so that a model of random structure has the same in every process
# pytest hides these frames, so that an error is shown in the user's code.
__tracebackhide__ = True
MOST_LIKE = 3
_FAILURES = (Exception, SystemExit)  # a module may end its program when it is imported


@dataclass(frozen=True)
class Made:
    """A module, and the arguments that its file has as an example.

    ``shared``: the user's code holds the module too, so it must not be changed.
    """

    module: torch.nn.Module
    example: tuple[tuple[object, ...], dict[str, object]] | None = None
    shared: bool = False


def made(model: ModelName, root: Path, folders: Sequence[Path]) -> Made:
    """Make the model of a name, with random weights unless it has its own.

    Paths are relative to ``root``; the user's code is imported from ``folders`` as well. Raises
    ``MeasurementError`` with a message of one line.
    """
    if model.is_file:
        return Made(*from_file(root / model.text))
    if not model.library:
        return _of_object(model, folders)
    source = {"torchvision": _torchvision, "timm": _timm, "hf": _transformers}[model.library]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their own arguments
            return Made(source(model, root))
    except MeasurementError:
        raise
    except _FAILURES as error:
        raise MeasurementError(f"{model} cannot be made: {one_line(error)}") from error


# --- the user's code ----------------------------------------------------------------------------


def _of_object(model: ModelName, folders: Sequence[Path]) -> Made:
    """Return the module that an attribute is, or that it returns without arguments."""
    sys.path[:0] = [text for folder in folders if (text := str(folder)) not in sys.path]
    found, path = _imported(model, folders), model.module
    for name in model.attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            names = [known for known in dir(found) if not known.startswith("_")]
            raise MeasurementError(
                f"{model}: {path} has no attribute {name!r}{_close(name, names)}"
            ) from None
        path += f".{name}"
    if isinstance(found, torch.nn.Module):
        return Made(found, shared=True)
    _refuse_uncallable(found, model)
    return _made_by(partial(_returned, found, model))


def _made_by(make: Callable[[], torch.nn.Module]) -> Made:
    """Return the module that a class or function makes: shared if a second one has a part of it.

    Only a module with further references, such as those of a cache, is made a second time.
    """
    module, references = _with_references(make)
    _, fresh = _with_references(lambda: torch.nn.Sequential(torch.nn.Linear(1, 1)))
    if references[0] <= fresh[0] and max(references[1:], default=0) <= max(fresh[1:]):
        return Made(module)
    try:
        again = make()
    except MeasurementError:
        return Made(module, shared=True)
    both = {id(part) for part in _changed_parts(module)} & {
        id(part) for part in _changed_parts(again)
    }
    return Made(module, shared=bool(both))


def _with_references(make: Callable[[], torch.nn.Module]) -> tuple[torch.nn.Module, list[int]]:
    """Return a new module, and how many references outside of it each part has, itself first.

    The numbers count those of this function, which are the same for every module.
    """
    module = make()
    parts = _changed_parts(module)
    inside = Counter(
        id(value)
        for part in parts
        if isinstance(part, torch.nn.Module)
        for value in (*part._modules.values(), *part._parameters.values())
    )
    return module, [sys.getrefcount(part) - inside[id(part)] for part in parts]


def _changed_parts(module: torch.nn.Module) -> list[torch.nn.Module | torch.nn.Parameter]:
    """Return the parts of a module that eval() and to() change in place, the module first."""
    return [*module.modules(), *module.parameters()]


def _imported(model: ModelName, folders: Iterable[Path]) -> Any:
    try:
        return importlib.import_module(model.module)
    except _FAILURES as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{model.module}.".startswith(f"{missing}."):
            looked = " or ".join(map(str, dict.fromkeys(folders)))
            raise MeasurementError(
                f"{model}: there is no module {missing!r}, neither installed nor in {looked}; set "
                "pythonpath in the ini file to the folder that holds it"
            ) from None
        raise MeasurementError(
            f"{model}: {model.module} cannot be imported: {one_line(error)}"
        ) from error


def _refuse_uncallable(found: Any, model: ModelName) -> None:
    """Refuse an object that makes no module without arguments."""
    if not callable(found):
        raise MeasurementError(
            f"{model} is of type {type(found).__name__}; name a torch.nn.Module, or a class or "
            "function that returns one"
        )
    if needed := _needed(found):
        raise MeasurementError(
            f"{model} needs arguments: {', '.join(needed)}; name a function that makes the model "
            "without any"
        )


def _returned(found: Any, model: ModelName) -> torch.nn.Module:
    """Return the module that a class or function makes without arguments."""
    torch.manual_seed(SEED)  # an import may have drawn numbers, and the next one is none
    try:
        module = found()
    except _FAILURES as error:
        raise MeasurementError(f"{model}() raised {one_line(error)}") from error
    if isinstance(module, torch.export.ExportedProgram):
        module = module.module()
    if not isinstance(module, torch.nn.Module):
        raise MeasurementError(
            f"{model}() returned {_article(type(module).__name__)}, which is no torch.nn.Module; "
            "name a class or function that returns one"
        )
    return module


def _needed(found: Any) -> list[str]:
    """Return the parameters without which it cannot be called."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # it is not written in Python
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


# --- libraries ----------------------------------------------------------------------------------


def _library(model: ModelName, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == model.module:
            raise MeasurementError(
                f"{model} needs {model.module}, which is not installed: pip install {model.module}"
            ) from None
        raise


def _torchvision(model: ModelName, _: Path) -> torch.nn.Module:
    models = _library(model, "torchvision.models")
    _refuse_unknown(model, models.list_models())
    builder = models.get_model_builder(model.attribute)
    known = inspect.signature(builder).parameters
    none = {name: None for name in ("weights", "weights_backbone") if name in known}
    module: torch.nn.Module = builder(**none)
    return module


def _timm(model: ModelName, _: Path) -> torch.nn.Module:
    timm = _library(model, "timm")
    if ":" in model.attribute or "/" in model.attribute:
        raise MeasurementError(
            f"{model} would have to be downloaded, which is not done: name an architecture, such "
            "as timm:resnet18"
        )
    if not timm.is_model(model.attribute):
        _refuse_unknown(model, timm.list_models())
    module: torch.nn.Module = timm.create_model(model.attribute, pretrained=False)
    return module


def _transformers(model: ModelName, root: Path) -> torch.nn.Module:
    transformers, name = _library(model, "transformers"), model.attribute
    if (root / name / "config.json").is_file():
        config = transformers.AutoConfig.from_pretrained(
            str(root / name), local_files_only=True, trust_remote_code=False
        )
    elif name in transformers.CONFIG_MAPPING:
        config = transformers.AutoConfig.for_model(name)
    else:
        raise MeasurementError(
            f"{model}: {name!r} is neither a type of model nor a folder with a config.json; a "
            "checkpoint would have to be downloaded, which is not done"
            f"{_close(name, list(transformers.CONFIG_MAPPING), 'name a type, such as hf:bert')}"
        )
    module: torch.nn.Module = transformers.AutoModel.from_config(config, trust_remote_code=False)
    return module


def _refuse_unknown(model: ModelName, known: Sequence[str]) -> None:
    if model.attribute not in known:
        raise MeasurementError(
            f"{model}: {model.module} has no model {model.attribute!r}"
            f"{_close(model.attribute, known)}"
        )


def _close(name: str, known: Sequence[str], otherwise: str = "") -> str:
    """Return a hint to the known names that are most like this one, behind a semicolon."""
    close = difflib.get_close_matches(name, known, n=MOST_LIKE)
    hint = f"did you mean {' or '.join(close)}?" if close else otherwise
    return f"; {hint}" if hint else ""
