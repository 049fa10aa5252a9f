"""The models that the options, the ini file and the node ids of a run name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_hiddencost.core import model_names
from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.model_names import Matrix, ModelName, NamedModel, Variant
from pytest_hiddencost.options import MODELS, model_of
from pytest_hiddencost.run.model_budgets import Section, parsed_budgets

if TYPE_CHECKING:
    import pytest

    from pytest_hiddencost.run.option_values import OptionValue

OF_MODELS = ("input", "batch", "dtype", "compile", "model-budget")
"""The options that mean nothing without a named model."""


@dataclass(frozen=True)
class ModelSettings:
    """The named models of a run, in their order, and the budgets of named models.

    ``alone``: nothing else is collected. ``in_full``: every model that the ini file names is here.
    """

    variants: tuple[Variant, ...] = ()
    budgets: tuple[Section, ...] = ()
    alone: bool = False
    in_full: bool = False


def model_settings(
    config: pytest.Config, values: Mapping[str, OptionValue], *, in_worker: bool
) -> ModelSettings:
    """Return the named models of this run; a worker process has only those of its node ids.

    Raises ``SettingError``.
    """
    arguments = [str(argument) for argument in config.option.file_or_dir]
    ids = [name for argument in arguments if (name := model_of(argument)) is not None]
    model = values["model"]
    if in_worker:
        selected = [each for name in ids for each in _of_id(name, Matrix(), ())]
        return ModelSettings(_once(selected), alone=len(ids) == len(arguments) > 0)
    budgets = parsed_budgets(values["model-budget"].lines(), values["model-budget"].where)
    matrix = _matrix(values)
    listed = [_rooted(found, config, model) for found in _named(model)]
    batch_at = values["batch"].where
    for found in listed:
        _refuse_batch_without_input(found, matrix, batch_at)
    configured = _once([each for found in listed for each in matrix.of(found)])
    if not ids and not configured:
        _refuse_without_model(values)
    if ids:
        selected = [each for name in ids for each in _of_id(name, matrix, configured, batch_at)]
        in_full = "" in ids and not model.on_command_line
        return ModelSettings(_once(selected), budgets, len(ids) == len(arguments), in_full)
    if model.on_command_line:
        return ModelSettings(configured, budgets, alone=not arguments)
    if arguments or not configured:
        return ModelSettings()
    return ModelSettings(configured, budgets, in_full=True)


def _once(found: Sequence[Variant]) -> tuple[Variant, ...]:
    return tuple(dict.fromkeys(found))


def _named(model: OptionValue) -> list[NamedModel]:
    texts = [text for part in model.texts() for text in model_names.split_names(part)]
    if model.on_command_line and not texts:
        raise SettingError(f"{model.where}: names no model; expected {model_names.FORMS}")
    return [model_names.named_model(text, model.where) for text in texts]


def _matrix(values: Mapping[str, OptionValue]) -> Matrix:
    inputs, batch, dtype = (values[name] for name in ("input", "batch", "dtype"))
    return Matrix(
        tuple(model_names.parsed_inputs(text, inputs.where) for text in inputs.parts()),
        tuple(model_names.parsed_batch(text, batch.where) for text in batch.parts()),
        tuple(model_names.parsed_dtype(text, dtype.where) for text in dtype.parts()),
        compiled=bool(values["compile"].raw),
    )


def _of_id(
    name: str, matrix: Matrix, configured: Sequence[Variant], batch_at: str = ""
) -> list[Variant]:
    """Return the variants that a node id selects; an empty name selects all configured ones."""
    where = f"{MODELS}::{name}" if name else MODELS
    if not name:
        if not configured:
            raise SettingError(f"{where}: no model is named; add --hiddencost-model")
        return list(configured)
    found = model_names.model_of_id(name, where)
    among = [each for each in configured if each.model == found.model]
    if among and "[" not in name:
        return among
    if found.compiled is None:  # other ids leave nothing to the matrix
        _refuse_batch_without_input(found, matrix, batch_at)
    return matrix.of_id(found)


def _rooted(found: NamedModel, config: pytest.Config, model: OptionValue) -> NamedModel:
    """Return the model with the path of its file relative to the rootdir, as in base's tree."""
    name = found.model
    path = Path(os.path.normpath(model.folder(config) / (name.attribute or name.text)))
    of_folder = name.library == "hf" and (path / "config.json").is_file()
    if not (name.is_file or of_folder):
        return found
    root = config.rootpath
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
    rooted = ModelName(text)
    if of_folder:
        rooted = ModelName(f"{name.library}:{text}", name.library, name.module, text)
    return NamedModel(rooted, found.inputs, found.dtype, found.compiled)


def _refuse_batch_without_input(found: NamedModel, matrix: Matrix, where: str) -> None:
    """Refuse a batch size that would change nothing: it sets the first dimension of inputs."""
    if matrix.batches and not (matrix.inputs or found.inputs):
        raise SettingError(
            f"{where}: no input of {found.model} is named, and the example in a file keeps its "
            "batch size; add --hiddencost-input=1x3x224x224 with the shape of the input"
        )


def _refuse_without_model(values: Mapping[str, OptionValue]) -> None:
    for name in OF_MODELS:
        value = values[name]
        if value.on_command_line and value.raw is not None:
            raise SettingError(
                f"{value.where} is for named models, and none is named; add --hiddencost-model"
            )
