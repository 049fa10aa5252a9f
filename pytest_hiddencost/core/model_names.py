"""Names of models on a command line, and of the variants of them that a run measures.

A name is ``package.module:Attribute``, ``LIBRARY:NAME`` or the path of a file. Brackets after the
name fix inputs, dtype and mode for this model: ``NAME[INPUTS-DTYPE-MODE]``. A part may be missing.
The name of a variant has the same form, and names exactly this variant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import product
from urllib.parse import quote, unquote

from pytest_hiddencost.core.errors import SettingError

LIBRARIES = {"torchvision": "torchvision", "timm": "timm", "hf": "transformers"}
"""The package behind each prefix of a name."""
FILES = (".pt2", ".pt", ".pth", ".ts")
EAGER, COMPILED = "eager", "compiled"
FORMS = (
    "package.module:Attribute, torchvision:NAME, timm:NAME, hf:TYPE, or a file that ends in "
    f"{', '.join(FILES[:-1])} or {FILES[-1]}"
)
_IDENTIFIERS = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_OBJECT = re.compile(rf"({_IDENTIFIERS}):({_IDENTIFIERS})")
_INPUT = re.compile(r"(?:([a-z][a-z0-9_]*):)?([0-9]+(?:x[0-9]+)*)")
_DTYPE = re.compile(r"[a-z][a-z0-9_]*")
# These end a part of a node id, or a line; the percent sign begins a quoted character.
_QUOTED = re.compile(r"[%\[\]\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|(?<=:):")


@dataclass(frozen=True)
class ModelInput:
    """One input of a model: its shape, and its dtype; an empty one is the model's own."""

    shape: tuple[int, ...]
    dtype: str = ""

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{self.dtype}:{shape}" if self.dtype else shape


Inputs = tuple[ModelInput, ...]


@dataclass(frozen=True)
class ModelName:
    """The name of a model, checked; ``library`` is the prefix of one, empty for other names."""

    text: str
    library: str = ""
    module: str = ""
    """The module that holds the model's code; empty for a file."""
    attribute: str = ""
    """The path of attributes in the module, or the name in the library; empty for a file."""

    @property
    def is_file(self) -> bool:
        """Whether the name is the path of a file."""
        return not self.attribute

    @property
    def is_script(self) -> bool:
        """Whether the name is the path of a TorchScript file."""
        return self.is_file and not self.text.endswith(FILES[0])

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Variant:
    """One way to measure a model: its inputs, dtype and mode.

    An empty ``dtype`` leaves the model in the dtype that it was made in. Without ``inputs``, the
    user named none.
    """

    model: ModelName
    inputs: Inputs = ()
    dtype: str = ""
    compiled: bool = False

    @property
    def name(self) -> str:
        """The name of this variant: readable, unique, and safe in a node id."""
        mode = COMPILED if self.compiled else EAGER
        parts = ("+".join(map(str, self.inputs)), self.dtype, mode)
        return f"{quoted(self.model.text)}[{'-'.join(filter(None, parts))}]"


@dataclass(frozen=True)
class NamedModel:
    """A model that a user named, and the parts that the name fixes; None for the other parts."""

    model: ModelName
    inputs: Inputs | None = None
    dtype: str | None = None
    compiled: bool | None = None


@dataclass(frozen=True)
class Matrix:
    """The inputs, batch sizes, dtypes and modes of models whose names do not fix them."""

    inputs: tuple[Inputs, ...] = ()
    batches: tuple[int, ...] = ()
    dtypes: tuple[str, ...] = ()
    compiled: bool = False

    def of(self, wanted: NamedModel) -> list[Variant]:
        """Return the variants of one model: the matrix sets the parts that its name does not fix.

        A batch size changes inputs in the name as well.
        """
        given = self.inputs or ((),) if wanted.inputs is None else (wanted.inputs,)
        dtypes = self.dtypes or ("",) if wanted.dtype is None else (wanted.dtype,)
        either = (False, True) if self.compiled else (False,)
        modes = either if wanted.compiled is None else (wanted.compiled,)
        found = [
            Variant(wanted.model, with_batch(inputs, batch), dtype, compiled)
            for inputs, batch, dtype, compiled in product(
                given, self.batches or (None,), dtypes, modes
            )
        ]
        return list(dict.fromkeys(found))

    def of_id(self, wanted: NamedModel) -> list[Variant]:
        """Return the variants that a node id selects: exactly one if it names the mode.

        The name of a variant always names the mode.
        """
        if wanted.compiled is None:
            return self.of(wanted)
        return [Variant(wanted.model, wanted.inputs or (), wanted.dtype or "", wanted.compiled)]


def with_batch(inputs: Inputs, batch: int | None) -> Inputs:
    """Return the inputs with another first dimension; as they are for None."""
    if batch is None:
        return inputs
    return tuple(replace(one, shape=(batch, *one.shape[1:])) for one in inputs)


def model_name(text: str, where: str) -> ModelName:
    """Return the model that a text names. Raises ``SettingError`` that lists the forms."""
    prefix, colon, rest = text.partition(":")
    if colon and prefix in LIBRARIES:
        if rest and not rest.startswith(":"):
            return ModelName(text, prefix, LIBRARIES[prefix], rest)
    elif found := _OBJECT.fullmatch(text):
        return ModelName(text, "", found[1], found[2])
    elif text.endswith(FILES) and text not in FILES:
        return ModelName(text)
    raise SettingError(f"{where}: {text!r:.200} names no model; expected {FORMS}{_hint(text)}")


def _hint(text: str) -> str:
    """Return a hint to the name that the user likely wanted to write."""
    if "::" in text and _OBJECT.fullmatch(text.replace("::", ":")):
        return f"; write {text.replace('::', ':')}"
    if re.fullmatch(_IDENTIFIERS, text) and "." in text:
        module, _, attribute = text.rpartition(".")
        return f"; write {module}:{attribute}"
    return ""


def parsed_inputs(text: str, where: str) -> Inputs:
    """Return the inputs of one call, of a text such as ``1x3x224x224`` or ``int64:1x128+1x8``.

    Raises ``SettingError``.
    """
    found = []
    for part in re.split("[;+]", text):
        match = _INPUT.fullmatch(part.strip())
        shape = tuple(map(int, match[2].split("x"))) if match and len(part) < 200 else ()
        if match is None or not shape or 0 in shape:
            raise SettingError(
                f"{where}: {text!r:.200} is no input; expected a shape such as 1x3x224x224, or "
                "int64:1x128 for token ids; join several inputs of one call by +"
            )
        found.append(ModelInput(shape, match[1] or ""))
    return tuple(found)


def parsed_dtype(text: str, where: str) -> str:
    """Return the name of a dtype, whether torch has it or not. Raises ``SettingError``."""
    if not _DTYPE.fullmatch(text):
        raise SettingError(f"{where}: {text!r:.200} is no dtype; expected one such as bfloat16")
    return text


def parsed_batch(text: str, where: str) -> int:
    """Return a batch size. Raises ``SettingError``."""
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < 1:
        raise SettingError(
            f"{where}: {text!r:.200} is no batch size; expected a whole number of at least 1"
        )
    return int(text)


def split_names(text: str) -> list[str]:
    """Return the names in a text, which commas outside of brackets and line ends separate."""
    return [
        name
        for line in text.splitlines()
        for part in re.findall(r"(?:\[[^\]]*\]|[^,])+", line)
        if (name := part.strip())
    ]


def named_model(text: str, where: str) -> NamedModel:
    """Return the model that a text names, and the parts that it fixes. Raises ``SettingError``."""
    name, bracket, inside = text.removesuffix("]").rpartition("[")
    if not (bracket and text.endswith("]")):
        name, inside = text, ""
    return _with_fixed(NamedModel(model_name(name.strip(), where)), inside, where)


def model_of_id(name: str, where: str) -> NamedModel:
    """Return the model of a variant's name, or of the name's beginning. Raises ``SettingError``."""
    text, _, inside = name.partition("[")  # quoted, so that this bracket is the variant's
    model = model_name(unquote(text, errors="surrogatepass"), where)
    return _with_fixed(NamedModel(model), inside.removesuffix("]"), where)


def _with_fixed(found: NamedModel, inside: str, where: str) -> NamedModel:
    """Return the model with the parts that the text in its brackets fixes."""
    for part in filter(None, map(str.strip, inside.split("-"))):
        if part in (EAGER, COMPILED) and found.compiled is None:
            found = replace(found, compiled=part == COMPILED)
        elif found.dtype is None and _DTYPE.fullmatch(part):
            found = replace(found, dtype=part)
        elif found.inputs is None:
            found = replace(found, inputs=parsed_inputs(part, where))
        else:
            raise SettingError(
                f"{where}: [{inside:.200}] fixes a part twice; expected "
                "NAME[INPUTS-DTYPE-MODE], such as pkg.models:Net[1x3x224x224-bfloat16-eager]"
            )
    return found


def quoted(text: str) -> str:
    """Return a text that is safe in a node id: special characters are percent-encoded."""
    return _QUOTED.sub(lambda found: quote(found[0], safe="", errors="surrogatepass"), text)
