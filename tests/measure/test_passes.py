"""One measurement of one call in full, on real torch operators."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from pytest_hiddencost import Profile, Sampling, latency_budget, profile
from pytest_hiddencost.core.checks import INCONCLUSIVE
from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.judge.budgets import check
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency.sampler import LatencySampler
from pytest_hiddencost.measure.one_call import measure
from pytest_hiddencost.measure.operators.window_pass import USUAL_WINDOWS, Windows

SHORT = Sampling(max_time_ns=20_000_000, min_samples=8)


class Depthwise(nn.Sequential):
    """Eight groups of one channel: eight small convolutions if oneDNN is off."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.ReLU())


def measured(model: nn.Module, *args: torch.Tensor, **kwargs: object) -> Profile:
    return profile(model.eval(), *args, sampling=SHORT, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def onednn_off() -> object:
    onednn = torch.backends.mkldnn
    previous = onednn.set_flags(False)
    yield
    onednn.set_flags(previous[0])


@pytest.mark.usefixtures("onednn_off")
def test_a_depthwise_convolution_runs_bookkeeping_operators_inside() -> None:
    result = measured(Depthwise(), torch.randn(1, 8, 8, 8))
    conv2d = next(c for c in result.composites if c.name == "aten::conv2d")
    inside = {cost.name: cost.calls for cost in conv2d.inside}
    assert conv2d.calls == 1
    # Per group: two narrow (input, weight) and one small convolution. At the end: one cat.
    assert inside["aten::narrow"] == 16
    assert inside["aten::slice"] == 16
    assert inside["aten::_slow_conv2d_forward"] == 8
    assert inside["aten::cat"] == 1
    assert conv2d.total_ns == pytest.approx(sum(cost.self_ns for cost in conv2d.inside))


@pytest.mark.usefixtures("onednn_off")
def test_macs_belong_to_the_kernel_and_the_kind() -> None:
    result = measured(Depthwise(), torch.randn(1, 8, 8, 8))
    macs = 8 * 8 * 8 * 9
    assert result.macs == macs
    assert result.operator("aten::_slow_conv2d_forward").macs == macs
    assert [(k.kind, k.calls, k.macs) for k in result.mac_kinds] == [("conv2d depthwise", 1, macs)]
    kernel_ns = result.mac_kinds[0].self_ns
    assert kernel_ns == pytest.approx(result.mac_ns)


def test_self_times_time_outside_and_residual_add_up_to_the_latency() -> None:
    result = measured(nn.Sequential(nn.Linear(64, 64), nn.ReLU()), torch.randn(4, 64))
    explained = sum(o.self_ns for o in result.operators) + result.outside_ns
    residual_ns = result.profiler.residual_share * result.latency.median_ns
    assert explained + residual_ns == pytest.approx(result.latency.median_ns)
    assert all(o.self_ns >= 0 for o in result.operators)
    assert 0 <= result.non_mac_share <= 1


def test_calls_equal_those_of_a_plain_profiler_run() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).eval()
    image = torch.randn(1, 3, 8, 8)
    result = measured(model, image)
    with torch.inference_mode(), torch.profiler.profile() as profiler:
        model(image)
    plain: dict[str, int] = {}
    for event in profiler.events() or ():
        if "::" in event.name:
            plain[event.name] = plain.get(event.name, 0) + 1
    assert {o.name: o.calls for o in result.operators} == plain
    assert result.profiler.events == sum(plain.values())
    assert not result.structure_varies


def test_a_structure_that_varies_is_reported() -> None:
    twice = itertools.cycle([False, True])

    def sometimes_twice(x: torch.Tensor) -> torch.Tensor:
        return x.relu().relu() if next(twice) else x.relu()

    result = profile(sometimes_twice, torch.randn(4), sampling=SHORT)
    assert result.structure_varies
    assert result.operator("aten::relu").calls_range == (1, 2)


def test_a_kernel_without_an_event_is_mac_time_of_its_wrapper() -> None:
    model = nn.ConvTranspose2d(4, 4, 3).eval()
    result = measured(model, torch.randn(1, 4, 16, 16))
    assert result.mac_ns > 0
    assert sum(kind.macs for kind in result.mac_kinds) == result.macs == 16 * 16 * 4 * 4 * 9
    assert result.non_mac_share < 1


def test_the_activation_peak_of_a_chain_has_a_closed_form() -> None:
    class Chain(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x + 1  # 4 KiB are live
            z = torch.cat([y, y])  # 4 + 8 KiB are live
            del y
            return z * 2  # 8 + 8 KiB are live

    result = measured(Chain(), torch.randn(1024))
    assert result.activation_peak_bytes is not None
    scalars_bytes = result.activation_peak_bytes - 16 * 1024  # 1 and 2 become tensors
    assert 0 <= scalars_bytes < 64


def test_older_tensors_do_not_count_when_the_call_frees_them() -> None:
    held = [torch.randn(1 << 16) for _ in range(200)]

    def frees_older_tensors(x: torch.Tensor) -> torch.Tensor:
        if held:
            held.pop()
        return x + 1

    result = profile(frees_older_tensors, torch.randn(256), sampling=SHORT)
    assert result.activation_peak_bytes is not None
    assert 1024 <= result.activation_peak_bytes < 1024 + 64


def test_annotations_of_the_user_are_no_operators() -> None:
    def annotated(x: torch.Tensor) -> torch.Tensor:
        with torch.profiler.record_function("my block"):
            return x.relu()

    result = profile(annotated, torch.randn(4), sampling=SHORT)
    assert {composite.name for composite in result.composites} == {"aten::relu"}


@pytest.mark.parametrize("mode", ["inference", "no_grad", "grad"])
def test_a_call_runs_in_its_grad_mode(mode: str) -> None:
    seen: set[tuple[bool, bool]] = set()
    weight = torch.randn(4, requires_grad=True)

    def model(x: torch.Tensor) -> torch.Tensor:
        seen.add((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
        return x * weight

    result = profile(model, torch.randn(4), grad_mode=mode, sampling=SHORT)
    expected = {"inference": (True, False), "no_grad": (False, False), "grad": (False, True)}
    assert seen == {expected[mode]}
    assert result.grad_mode == mode


def test_unknown_grad_mode_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"'train' is unknown; accepted: inference, no_grad"):
        profile(torch.relu, torch.randn(4), grad_mode="train")


def test_a_running_profiler_is_refused_and_left_running() -> None:
    with torch.profiler.profile() as outer:
        with pytest.raises(MeasurementError, match="already running"):
            profile(torch.relu, torch.randn(4), sampling=SHORT)
        torch.relu(torch.randn(4))
    assert any(event.name == "aten::relu" for event in outer.events() or ())


def test_a_model_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(MeasurementError, match="must be callable"):
        profile(torch.randn(3))  # type: ignore[arg-type]  # the mistake under test


def test_an_output_on_another_device_is_refused() -> None:
    def to_meta(x: torch.Tensor) -> torch.Tensor:
        return x.to("meta")

    with pytest.raises(MeasurementError, match=r"on meta.*measures on cpu.*--hiddencost-device"):
        profile(to_meta, torch.randn(3), sampling=SHORT)


def test_an_unknown_operator_that_may_do_macs_is_listed() -> None:
    library = torch.library.Library("hiddencost_test", "DEF")
    library.define("fused_gemm(Tensor x) -> Tensor")
    # The kernel bypasses the dispatcher, as that of a compiled extension does.
    library.impl("fused_gemm", lambda x: torch.from_numpy(x.numpy() @ x.numpy().T), "CPU")
    result = profile(torch.ops.hiddencost_test.fused_gemm, torch.randn(4, 4), sampling=SHORT)
    assert result.operator("hiddencost_test::fused_gemm").group == "unclassified"
    assert result.uncosted == ("hiddencost_test::fused_gemm",)


def test_calls_with_keyword_arguments_and_bound_methods_are_measured() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    x = torch.randn(1, 3, 8)
    result = profile(attention, x, x, value=x, need_weights=False, sampling=SHORT)
    assert result.model == "MultiheadAttention"
    assert result.parameters == sum(p.numel() for p in attention.parameters())
    bound = profile(attention.forward, x, x, x, sampling=SHORT)
    assert bound.parameters == result.parameters


PROFILED_BEFORE = """
import os, sys, torch
with torch.autograd.profiler.profile(): torch.relu(torch.randn(4))
sys.stderr.flush()
print("MARK", file=sys.stderr, flush=True)
from pytest_hiddencost import Sampling, profile
profile(torch.relu, torch.randn(4), sampling=Sampling(max_time_ns=10**7))
assert "KINETO_LOG_LEVEL" not in os.environ
os.write(2, b"END")
"""


def test_stderr_stays_empty_even_if_a_profiler_ran_before() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "KINETO_LOG_LEVEL"}
    environment["OMP_NUM_THREADS"] = "1"  # fast on a shared machine
    done = subprocess.run(
        [sys.executable, "-c", PROFILED_BEFORE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.partition("MARK\n")[2] == "END"


def test_text_that_the_model_writes_to_stderr_is_kept(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def loud(x: torch.Tensor) -> torch.Tensor:
        os.write(2, b"from the model\n")
        return x.relu()

    profile(loud, torch.randn(4), sampling=SHORT)
    lines = set(capfd.readouterr().err.splitlines())
    assert lines == {"from the model"}


async def coroutine(x: torch.Tensor) -> torch.Tensor:
    return x.relu()


def generator(x: torch.Tensor) -> Iterator[torch.Tensor]:
    yield x.relu()


@pytest.mark.parametrize("model", [coroutine, generator])
def test_a_function_that_runs_no_operator_when_called_is_refused(
    model: Callable[..., object],
) -> None:
    with pytest.raises(MeasurementError, match=f"calling {model.__name__} only makes"):
        profile(model, torch.randn(3), sampling=SHORT)


def test_a_lazy_module_is_measured() -> None:
    model = nn.Sequential(nn.LazyLinear(5), nn.ReLU()).eval()
    result = profile(model, torch.randn(1, 4), sampling=SHORT)
    assert (result.macs, result.parameters) == (20, 25)


class Interrupted:
    """A call that pauses in some of its profiled runs; each window has two profiled runs."""

    def __init__(self, interrupted: Callable[[int], bool]) -> None:
        self.profiled = 0
        self._interrupted = interrupted

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        profiled = torch.autograd._profiler_enabled()  # type: ignore[attr-defined]
        self.profiled += profiled
        time.sleep(0.02 if profiled and self._interrupted(self.profiled) else 0.0005)
        return x + 1


def windows_of(call: Interrupted) -> int:
    """Return the number of kept windows if a limit depends on them and the time is up."""
    asked = Call(call, (torch.ones(1),), {}, torch.device("cpu"))
    return measure(asked, Sampling(max_time_ns=1), undecided=lambda _: False).profiler.windows


def test_a_disturbed_window_is_replaced_even_after_max_time() -> None:
    assert windows_of(Interrupted(lambda run: run in {7, 8})) >= USUAL_WINDOWS


class Disturbed:
    """Operator windows of which some are disturbed, by their number, and so not kept."""

    def __init__(self, disturbed: Callable[[int], bool]) -> None:
        self._disturbed = disturbed
        self.windows: list[int] = []

    @property
    def kept(self) -> list[int]:
        return [number for number in self.windows if not self._disturbed(number)]

    def discard_cold(self) -> None: ...

    def add(self) -> int:
        self.windows.append(len(self.windows))
        return self.windows[-1]

    def outside_and_whole_ns(self, window: int) -> tuple[int, int]:
        return window, window


@pytest.mark.parametrize(("max_time_ns", "kept"), [(10**15, USUAL_WINDOWS), (0, 3)])
def test_a_disturbed_window_is_replaced_within_max_time(max_time_ns: int, kept: int) -> None:
    windows: Any = Disturbed(lambda number: number in {0, 2})
    Windows(windows, Sampling(max_time_ns), 3, 2).take_all()
    assert len(windows.kept) == kept


def test_a_call_with_two_durations_is_not_profiled_for_ever() -> None:
    call = Interrupted(lambda run: run % 4 < 2)  # every other window
    assert 0 < windows_of(call) <= 2 * USUAL_WINDOWS
    assert call.profiled <= 2 * (2 * USUAL_WINDOWS + 1)  # the warm-up window does not count


class FewTurns:
    """A pace with few timed calls and windows; ``calls`` counts the model's calls for windows."""

    def __init__(self, model: Callable[[], int], *, whole: bool = True) -> None:
        self._calls_so_far = model
        self.whole = whole
        self.calls = 0

    def tell(self, progress: object) -> None: ...

    def latency(self, sampler: LatencySampler) -> None:
        for _ in range(5):
            sampler.turn(1)

    def windows(self, windows: Windows) -> None:
        before = self._calls_so_far()
        windows.prepare()
        for _ in range(3):
            windows.add()
        self.calls = self._calls_so_far() - before


def test_a_pace_that_wants_times_only_leaves_out_call_sites_and_memory() -> None:
    call = Call(torch.neg, (torch.ones(4),), {}, torch.device("cpu"))
    found = measure(call, Sampling(max_time_ns=10**8), pace=FewTurns(lambda: 0, whole=False))
    assert (found.allocated_bytes, found.activation_peak_bytes) == (None, None)
    assert not any(cost.call_sites for cost in found.operators)


def test_windows_in_turns_take_no_plain_calls() -> None:
    calls = 0

    def model(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x.neg()

    pace = FewTurns(lambda: calls)
    call = Call(model, (torch.ones(4),), {}, torch.device("cpu"))
    found = measure(call, Sampling(max_time_ns=10**8), pace=pace)
    assert pace.calls == 2 * (2 + 3) + 1  # two calls for each session, one between sessions
    assert len(found.latency.samples_ns) >= 5
    assert found.operator("aten::neg").calls == 1


def test_limits_stay_inconclusive_if_operators_run_in_another_thread() -> None:
    def threaded(x: torch.Tensor) -> None:
        thread = threading.Thread(target=torch.relu, args=(x,))
        thread.start()
        thread.join()

    result = profile(threaded, torch.randn(4), sampling=SHORT)
    for verdict in check(result, latency_budget(macs="1 kMAC", operators={"aten::cat": "0 calls"})):
        assert verdict.verdict == INCONCLUSIVE
        assert "hiddencost saw only a part of the work" in verdict.reason
