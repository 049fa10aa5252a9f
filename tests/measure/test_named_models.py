"""Named models: their sources, dtypes and inputs, and the messages if one cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.model_names import Matrix, named_model, parsed_inputs
from pytest_hiddencost.measure import named_models
from pytest_hiddencost.measure.named_models import Loaded

CODE = """
import functools
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.linear = nn.Linear(8, width)
        self.drop = nn.Dropout()
        if torch.rand(()) < 0.5:
            self.more = nn.Linear(width, width)

    def forward(self, x):
        return self.drop(self.linear(x))

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(50, 4), nn.Embedding(10, 4)

class Needs(nn.Module):
    def __init__(self, width, *, depth, more=1): ...

class factory:
    @staticmethod
    def small(): return Net(2)

SHARED = Net()

@functools.cache
def cached(): return Net()
@functools.cache
def cached_program(): return exported()
def kept(): return SHARED
def wrapped(): return nn.Sequential(SHARED, nn.ReLU())
def tied():
    net = nn.Linear(8, 8)
    net.weight = SHARED_WEIGHT
    return net
SHARED_WEIGHT = nn.Parameter(torch.ones(8, 8))

MADE = []
class Counted(Net):
    def __init__(self):
        super().__init__()
        MADE.append(len(MADE))

class Circular(Net):  # it refers to itself, and cannot be copied
    def __init__(self):
        super().__init__()
        MADE.append(len(MADE))
        self.infer = self.forward
        self.product = self.linear.weight * 2
NUMBER = 3
def number(): return 3
def broken(): raise ValueError("no weights\\nhere")
def exported():
    return torch.export.export(nn.Linear(8, 4).eval(), (torch.ones(1, 8),))
"""
Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads a variant by its text, from a folder with a module ``nets``."""
    (tmp_path / "nets.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "broken_nets.py").write_text("import no_such_library", encoding="utf-8")
    (tmp_path / "ending_nets.py").write_text("raise SystemExit('usage')", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield partial(loaded, tmp_path)
    sys.modules.pop("nets", None)


def loaded(folder: Path, text: str, default: str = "1x8") -> Loaded:
    inputs = (parsed_inputs(default, ""),) if default else ()
    [variant] = Matrix(inputs).of(named_model(text, ""))
    return named_models.load_model(variant, torch.device("cpu"), folder, [folder])


def refusal(load: Load, *arguments: str) -> str:
    with pytest.raises(MeasurementError) as error:
        load(*arguments)
    message = str(error.value)
    assert "\n" not in message
    return message


def module_of(found: Loaded) -> Any:
    return found.module


# --- the user's code ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "width"), [("nets:Net", 4), ("nets:factory.small", 2), ("nets:SHARED", 4)]
)
def test_a_class_a_function_or_a_module(load: Load, text: str, width: int) -> None:
    found = load(text)
    assert module_of(found).linear.out_features == width
    assert not any(part.training for part in module_of(found).modules())
    [x] = found.args
    assert isinstance(x, torch.Tensor)
    assert x.shape == (1, 8)


def test_a_function_may_return_an_exported_program(load: Load) -> None:
    assert "linear" in str(module_of(load("nets:exported")).graph)


def test_random_structure_and_weights_are_the_same_every_time(load: Load) -> None:
    state = torch.get_rng_state()
    one, other = load("nets:Net"), load("nets:Net")
    [x], [y] = one.args, other.args
    assert isinstance(x, torch.Tensor)
    assert isinstance(y, torch.Tensor)
    assert torch.equal(x, y)
    assert torch.equal(torch.get_rng_state(), state)
    assert str(one.module) == str(other.module)
    assert torch.equal(module_of(one).linear.weight, module_of(other).linear.weight)


def test_a_module_of_the_users_is_left_as_it_was(load: Load) -> None:
    found = load("nets:SHARED[1x8-bfloat16]")
    shared = sys.modules["nets"].SHARED
    assert shared.training
    assert shared.linear.weight.dtype == torch.float32
    assert module_of(found).linear.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("text", ["cached", "kept", "wrapped", "tied", "cached_program"])
def test_a_module_that_a_function_keeps_is_left_as_it_was(load: Load, text: str) -> None:
    """The next variant of the model gets it again."""
    found = load(f"nets:{text}[1x8-bfloat16]")
    assert {tensor.dtype for tensor in found.module.parameters()} == {torch.bfloat16}
    kept = getattr(sys.modules["nets"], text)()
    if isinstance(kept, torch.export.ExportedProgram):
        kept = kept.module()
    assert {tensor.dtype for tensor in kept.parameters()} == {torch.float32}
    again = load(f"nets:{text}")
    assert {tensor.dtype for tensor in again.module.parameters()} == {torch.float32}


def test_a_module_that_nothing_else_holds_is_made_once(load: Load) -> None:
    load("nets:Net")
    made = sys.modules["nets"].MADE
    found = load("nets:Circular")  # its references may be those of a cache, so it is made again
    assert made == [0, 1]
    assert module_of(found).infer.__self__ is found.module, "it is no copy"
    load("nets:Counted")
    assert made == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nowhere.nets:Net", "there is no module 'nowhere', neither installed nor in "),
        ("nets.inner:Net", "there is no module 'nets.inner', neither installed nor in "),
        ("broken_nets:Net", "cannot be imported: ModuleNotFoundError: No module named 'no_such_l"),
        ("ending_nets:Net", "cannot be imported: SystemExit: usage"),
        ("nets:Nets", "nets has no attribute 'Nets'; did you mean Net or Needs?"),
        ("nets:factory.large", "nets.factory has no attribute 'large'"),
        ("nets:Needs", "nets:Needs needs arguments: width, depth; name a function that makes"),
        ("nets:NUMBER", "is of type int; name a torch.nn.Module"),
        ("nets:number", "nets:number() returned an int, which is no torch.nn.Module"),
        ("nets:broken", "nets:broken() raised ValueError: no weights"),
    ],
)
def test_a_name_that_leads_to_no_model(load: Load, text: str, why: str) -> None:
    assert why in refusal(load, text)


# --- dtypes and inputs --------------------------------------------------------------------------


def test_inputs_have_the_models_dtype_unless_they_name_one(load: Load) -> None:
    text = "nets:Net[1x8+float16:2+complex64:2+bool:3+int64:2x5+uint8:4-bfloat16]"
    args: Any = load(text).args
    dtypes = [x.dtype for x in args]
    assert dtypes == [
        torch.bfloat16, torch.float16, torch.complex64, torch.bool, torch.int64, torch.uint8,
    ]  # fmt: skip
    assert args[3].all()


def test_token_ids_are_in_every_vocabulary(load: Load) -> None:
    args: Any = load("nets:Tokens[int64:100]").args
    assert 2 < args[0].max() < 10


def test_the_vocabulary_of_a_config_goes_first(load: Load) -> None:
    module = nn.Embedding(2, 2)
    config = SimpleNamespace(vocab_size=1000)
    module.config = config  # type: ignore[assignment]
    assert named_models._vocabulary(module) == 1000
    config.get_text_config = lambda: SimpleNamespace(vocab_size=77)
    assert named_models._vocabulary(module) == 77


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nets:Net[1x8-float33]", "has no dtype 'float33'; expected one such as float32"),
        ("nets:Net[int8]", "nets:Net cannot be converted to int8; expected a floating-point"),
        ("nets:Net[float33:1x8]", "has no dtype 'float33'"),
        ("nets:Net[qint8:1x8]", "no input qint8:1x8 can be made"),
    ],
)
def test_a_dtype_that_cannot_be(load: Load, text: str, why: str) -> None:
    assert why in refusal(load, text)


def test_a_missing_input_names_the_option(load: Load) -> None:
    assert "add --hiddencost-input=1x3x224x224" in refusal(load, "nets:Net", "")


# --- compiled -----------------------------------------------------------------------------------


def test_a_compiled_variant_is_compiled(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    found = load("nets:Net[1x8-compiled]")
    assert found.module._compiled_call_impl is not None
    assert found.module(*found.args).shape == (1, 4)


# --- libraries ----------------------------------------------------------------------------------


def fake(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: object) -> None:
    """A library that is installed."""
    module = ModuleType(name)
    for key, value in attributes.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)
    if "." in name:
        monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType("library"))


@pytest.mark.parametrize(
    ("text", "library"),
    [("torchvision:a", "torchvision"), ("timm:a", "timm"), ("hf:a", "transformers")],
)
def test_a_library_that_is_missing(
    load: Load, monkeypatch: pytest.MonkeyPatch, text: str, library: str
) -> None:
    class Absent:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == library:
                raise ModuleNotFoundError(f"No module named {library!r}", name=library)

    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    wanted = f"{text} needs {library}, which is not installed: pip install {library}"
    assert refusal(load, text) == wanted


def test_torchvision_loads_no_weights(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    def builder(*, weights: object = "new", weights_backbone: object = "new") -> nn.Module:
        given.update(weights=weights, backbone=weights_backbone)
        return nn.Linear(8, 1)

    known = {"list_models": lambda: ["resnet18"], "get_model_builder": lambda _: builder}
    fake(monkeypatch, "torchvision.models", **known)
    assert module_of(load("torchvision:resnet18")).out_features == 1
    assert given == {"weights": None, "backbone": None}
    hint = "torchvision has no model 'resnet81'; did you mean resnet18?"
    assert hint in refusal(load, "torchvision:resnet81")


def test_timm_loads_no_weights(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, *, pretrained: bool) -> nn.Module:
        assert not pretrained
        if name == "odd":
            raise RuntimeError("it needs\nmore")
        return nn.Linear(8, 1)

    known = {"is_model": {"vit", "odd"}.__contains__, "list_models": lambda: ["vit", "odd"]}
    fake(monkeypatch, "timm", create_model=create, **known)
    assert module_of(load("timm:vit")).out_features == 1
    assert "timm has no model 'vitt'; did you mean vit?" in refusal(load, "timm:vitt")
    assert "would have to be downloaded" in refusal(load, "timm:hf-hub:someone/vit")
    assert refusal(load, "timm:odd") == "timm:odd cannot be made: RuntimeError: it needs"


def test_transformers_are_made_from_a_config(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_pretrained(folder: str, *, local_files_only: bool, trust_remote_code: bool) -> str:
        assert local_files_only
        assert not trust_remote_code
        return folder

    def from_config(config: str, *, trust_remote_code: bool) -> nn.Module:
        assert not trust_remote_code
        return nn.Linear(8, len(Path(config).name))

    config = SimpleNamespace(for_model=str, from_pretrained=from_pretrained)
    model = SimpleNamespace(from_config=from_config)
    known = {"bert": None, "gpt2": None}
    fake(monkeypatch, "transformers", AutoConfig=config, AutoModel=model, CONFIG_MAPPING=known)
    assert module_of(load("hf:bert")).out_features == 4
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").touch()
    assert module_of(load("hf:folder")).out_features == 6
    message = refusal(load, "hf:someone/bert-base")
    assert "a checkpoint would have to be downloaded, which is not done; name a type" in message
    assert "did you mean bert?" in refusal(load, "hf:bertt")
