"""Models in files, and the messages on files that hold none."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.model_names import Matrix, named_model, parsed_inputs
from pytest_hiddencost.measure.named_models import Loaded, load_model

CPU = torch.device("cpu")


class Net(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 4), nn.Dropout())


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was-run"),)


def load(folder: Path, text: str, default: str = "1x8") -> Loaded:
    inputs = (parsed_inputs(default, ""),) if default else ()
    [variant] = Matrix(inputs).of(named_model(text, ""))
    return load_model(variant, CPU, folder, [])


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(MeasurementError) as error:
        load(folder, text)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_an_exported_program(tmp_path: Path) -> None:
    program = torch.export.export(Net().eval(), (torch.ones(2, 8),))
    torch.export.save(program, tmp_path / "net.pt2")
    found = load(tmp_path, "net.pt2", "2x8")
    assert found.module(*found.args).shape == (2, 4)
    without_input: Any = load(tmp_path, "net.pt2", "")
    assert torch.equal(without_input.args[0], torch.ones(2, 8))


@pytest.mark.parametrize("suffix", ["pt", "ts", "pth"])
def test_a_script(tmp_path: Path, suffix: str) -> None:
    torch.jit.script(Net()).save(str(tmp_path / f"net.{suffix}"))
    found: Any = load(tmp_path, f"net.{suffix}[1x8-bfloat16]")
    assert not found.module.training
    assert found.module(*found.args).dtype == torch.bfloat16


def test_a_script_is_not_compiled(tmp_path: Path) -> None:
    torch.jit.script(Net()).save(str(tmp_path / "net.pt"))
    assert "torch.compile does not compile" in refusal(tmp_path, "net.pt[1x8-compiled]")


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, "net.pt2") == f"there is no file {tmp_path / 'net.pt2'}"


def test_a_state_dict_says_how_to_name_its_model(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "net.pt")
    message = refusal(tmp_path, "net.pt")
    assert "a state dict (2 entries, such as '0.weight') and no model" in message
    assert "--hiddencost-model=package.module:function" in message


def test_a_tensor_is_no_model(tmp_path: Path) -> None:
    torch.save(torch.ones(2), tmp_path / "net.pt")
    assert "an object of type Tensor and no model" in refusal(tmp_path, "net.pt")


def test_pickled_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Harmful(), tmp_path / "net.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful()))
    for name in ("net.pt", "plain.pt"):
        assert "unpickling them would run code" in refusal(tmp_path, name)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [("net.pt2", "write it with torch.export.save"), ("net.pt", "holds no TorchScript")],
)
def test_a_file_of_something_else(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG something else")
    assert why in refusal(tmp_path, name)
