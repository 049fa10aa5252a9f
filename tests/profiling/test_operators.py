"""Raw profiler events to events that can be folded, and windows that were not disturbed."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch._C._autograd import DeviceType

from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.folding import Window, fold
from pytest_hiddencost.profiling.operators import OperatorWindows, device_events, host_events
from pytest_hiddencost.taxonomy import DEFAULT


@dataclass
class Raw:
    """The part of torch's event that is read."""

    text: str
    start: int
    duration: int
    kind: DeviceType = DeviceType.CPU
    correlation: int = 0
    linked: int = 0

    def name(self) -> str:
        return self.text

    def start_ns(self) -> int:
        return self.start

    def duration_ns(self) -> int:
        return self.duration

    def device_type(self) -> DeviceType:
        return self.kind

    def correlation_id(self) -> int:
        return self.correlation

    def linked_correlation_id(self) -> int:
        return self.linked


def test_only_operators_are_read_and_in_the_order_of_their_start() -> None:
    raw = [
        Raw("aten::relu", 50, 10),
        Raw("[memory]", 20, 0),
        Raw("my block", 0, 100),
        Raw("aten::add", 5, 20),
    ]
    assert host_events(raw) == [("aten::add", 5, 25, 20), ("aten::relu", 50, 60, 10)]


def test_parents_come_before_children_that_start_with_them() -> None:
    raw = [Raw("aten::empty", 5, 3), Raw("aten::zeros", 4, 9), Raw("aten::cat", 4, 20)]
    assert [event[0] for event in host_events(raw)] == ["aten::cat", "aten::zeros", "aten::empty"]


def test_on_a_device_an_operator_is_charged_with_the_kernels_it_launched() -> None:
    cuda = DeviceType.CUDA
    raw = [
        Raw("aten::conv2d", 0, 90, correlation=1),
        Raw("aten::cudnn_convolution", 10, 50, correlation=2),
        Raw("cudaLaunchKernel", 20, 5, correlation=3),
        Raw("implicit_gemm", 100, 700, kind=cuda, linked=2),
        Raw("nchwToNhwc", 800, 30, kind=cuda, linked=2),
        Raw("aten::relu", 95, 5, correlation=4),
        Raw("elementwise", 900, 40, kind=cuda, linked=4),
    ]
    window = fold(device_events(raw), [], 1_000, DEFAULT, inclusive=False)
    self_ns = {name: cell[1] for name, cell in window.operators().items()}
    assert self_ns == {"aten::conv2d": 0, "aten::cudnn_convolution": 730, "aten::relu": 40}


def windows_of(*walls_ns: int) -> OperatorWindows:
    call = Call(torch.relu, (torch.ones(1),), {}, torch.device("cpu"))
    windows = OperatorWindows(call, [], DEFAULT)
    windows.windows = [Window(wall_ns) for wall_ns in walls_ns]
    return windows


def test_disturbed_windows_are_left_out() -> None:
    windows = windows_of(300, 100, 110, 149, 174)
    assert [window.wall_ns for window in windows.kept] == [100, 110, 149, 174]
    assert [window.wall_ns for window in windows.disturbed] == [300]


def test_one_fast_window_does_not_outvote_the_others() -> None:
    windows = windows_of(100, 201, 202, 203, 204)
    assert len(windows.kept) == 5


@pytest.mark.parametrize("walls_ns", [(), (7,)])
def test_a_single_window_is_kept(walls_ns: tuple[int, ...]) -> None:
    assert [window.wall_ns for window in windows_of(*walls_ns).kept] == list(walls_ns)


def test_a_window_holds_one_call() -> None:
    calls = 0

    def model(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x.relu()

    call = Call(model, (torch.ones(4),), {}, torch.device("cpu"))
    windows = OperatorWindows(call, [], DEFAULT)
    windows.discard_cold()
    assert calls == OperatorWindows.COLD
    windows.add()
    assert calls == OperatorWindows.COLD + 1
    assert windows.windows[0].root_calls == {"aten::relu": 1}
    assert not windows.structure_varies
