"""The MAC count of thop: a second count that never fails a measurement."""

from __future__ import annotations

from importlib import metadata

import pytest
import torch
from torch import nn

from pytest_hiddencost import Sampling, profile
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.macs import thop_count
from pytest_hiddencost.measure.macs.thop_count import OTHER_THOP, thop_macs

CPU = torch.device("cpu")
SHORT = Sampling(max_time_ns=1_000_000)
X = torch.ones(1, 4)


def counted(model: object, *args: torch.Tensor, **kwargs: object) -> tuple[int | None, str]:
    return thop_macs(Call(model, args, kwargs, CPU))  # type: ignore[arg-type]


class Uncopyable(nn.Module):
    def __deepcopy__(self, memo: object) -> Uncopyable:
        raise RuntimeError("no copies of me")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu()


def test_the_profile_holds_the_count() -> None:
    result = profile(nn.Linear(4, 5).eval(), X, sampling=SHORT)
    assert result.thop_macs == result.macs == 20
    assert result.thop_note == ""


def test_a_model_that_cannot_be_copied_is_measured_with_a_note() -> None:
    result = profile(Uncopyable().eval(), X, sampling=SHORT)
    assert result.thop_macs is None
    assert "no copies of me" in result.thop_note


@pytest.mark.filterwarnings("ignore")  # of torch, about the end of TorchScript
def test_calls_that_thop_cannot_count_have_a_reason() -> None:
    linear = nn.Linear(4, 5)
    assert counted(torch.relu, X) == (None, "thop counts modules only")
    assert counted(linear.forward, X) == (None, "thop counts modules only")
    assert counted(linear, input=X) == (None, "thop passes no keyword arguments")
    assert counted(torch.jit.script(linear), X) == (None, "thop cannot hook a ScriptModule")


def test_a_model_larger_than_half_of_the_memory_is_not_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thop_count, "available_bytes", lambda: 100.0)
    assert counted(nn.Linear(4, 5), X) == (None, "not enough memory to copy the model")


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        ({}, "thop is not installed"),
        (
            {"thop": "0.1.1", OTHER_THOP: "2.0"},
            f"{OTHER_THOP} 2.0 is installed over thop: its counts are not thop's",
        ),
    ],
)
def test_another_module_of_the_name_thop_is_not_used(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], reason: str
) -> None:
    def version(project: str) -> str:
        if project not in installed:
            raise metadata.PackageNotFoundError(project)
        return installed[project]

    monkeypatch.setattr(metadata, "version", version)
    assert counted(nn.Linear(4, 5), X) == (None, reason)
