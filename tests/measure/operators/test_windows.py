"""Profiler windows: one call each, the time of plain calls, and disturbed windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.latency.sampler import LONG_CALL_NS
from pytest_hiddencost.measure.macs.counting import MacCall
from pytest_hiddencost.measure.operators import windows as windows_module
from pytest_hiddencost.measure.operators.device_kernels import DeviceNode
from pytest_hiddencost.measure.operators.folding import CallSite, Node, Root, Window, fold
from pytest_hiddencost.measure.operators.windows import MARK, OperatorWindows, marked_call


def names(nodes: Sequence[Node]) -> list[str]:
    """Return the name of every event, outer ones first."""
    return [name for node in nodes for name in (node.name, *names(node.children))]


# --- one call -----------------------------------------------------------------------------------


def call_of(model: object, size: int = 4) -> Call:
    assert callable(model)
    return Call(model, (torch.ones(size),), {}, torch.device("cpu"))


class Counted:
    """A model that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x.neg()


@pytest.mark.parametrize(("warm", "calls"), [(True, 2), (False, 1)])
def test_the_marked_call_is_one_call_even_after_a_warm_up_call(warm: bool, calls: int) -> None:
    model = Counted()
    mark, nodes, _ = marked_call(call_of(model), warm=warm)
    assert model.calls == calls
    assert mark.name == MARK
    assert names(nodes) == ["aten::neg"]
    assert 0 <= nodes[0].duration_time_ns <= mark.duration_time_ns


def test_the_tree_holds_annotations_and_the_operators_inside() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        with torch.profiler.record_function("my block"):
            return x.reshape(2, 2).contiguous().narrow(0, 0, 1)

    (block,) = marked_call(call_of(model), warm=True).roots
    narrow = block.children[-1]
    assert block.name == "my block"
    assert narrow.name == "aten::narrow"
    assert "aten::slice" in names(narrow.children)


def test_another_function_can_replace_the_call_that_is_profiled() -> None:
    model = Counted()
    ran: list[bool] = []

    def instead(_: object) -> object:
        ran.append(torch.is_inference_mode_enabled())
        return torch.ones(2).neg()

    nodes = marked_call(call_of(model), warm=True, within=instead).roots
    assert (model.calls, ran) == (1, [True])
    assert "aten::neg" in names(nodes)


def test_an_error_of_the_model_reaches_the_user() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        marked_call(call_of(model), warm=False)


# --- window by window ---------------------------------------------------------------------------


@pytest.fixture(params=["short", "long"])
def windows_type(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> type[OperatorWindows]:
    """Treat every call as short or as long, however slow this machine is now."""
    short = request.param == "short"
    monkeypatch.setattr(windows_module, "LONG_CALL_NS", 10**18 if short else 0)
    monkeypatch.setattr(OperatorWindows, "PLAIN_NS", 10**18)
    return OperatorWindows


def added(windows: OperatorWindows, count: int) -> list[Window]:
    windows.discard_cold()
    assert windows.windows == []
    for _ in range(count):
        windows.add()
    return windows.windows


def test_a_window_holds_one_call(windows_type: type[OperatorWindows]) -> None:
    model = Counted()
    windows = windows_type(call_of(model), [], DEFAULT)
    for window in added(windows, 3):
        assert window.structure.roots == {Root("aten::neg", None): 1}
        assert window.structure.events == 1
        assert window.wall_ns >= sum(window.raw_ns) >= 0
        assert window.plain_ns > 0
    assert model.calls > 3
    assert not windows.structure_varies


def test_windows_of_equal_calls_share_one_structure(windows_type: type[OperatorWindows]) -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        return x.relu().narrow(0, 0, 2)

    first, *others = added(windows_type(call_of(model), [], DEFAULT), 4)
    assert all(window.structure is first.structure for window in others)


def test_a_call_without_operators_has_windows_too(windows_type: type[OperatorWindows]) -> None:
    first, second = added(windows_type(call_of(lambda x: x), [], DEFAULT), 2)
    assert first.structure is second.structure
    assert first.structure.events == 0
    assert first.wall_ns > 0


def test_macs_and_call_sites_reach_the_window(windows_type: type[OperatorWindows]) -> None:
    call_site = CallSite("head", "model.py:7")
    macs = [MacCall("aten::mv", "matmul", 16)]
    call = Call(torch.mv, (torch.ones(4, 4), torch.ones(4)), {}, torch.device("cpu"))
    (window,) = added(windows_type(call, macs, DEFAULT, [("aten::mv", call_site)]), 1)
    assert window.structure.matched == 1
    assert window.structure.roots == {Root("aten::mv", call_site): 1}


@pytest.mark.parametrize("plain_ns", [None, 1e6])
@pytest.mark.parametrize("period", [2, 3, 4])
def test_a_model_whose_calls_differ_periodically_is_noticed(
    windows_type: type[OperatorWindows], period: int, plain_ns: float | None
) -> None:
    calls = 0

    def model(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x.relu() if calls % period else x.neg()

    windows = windows_type(call_of(model), [], DEFAULT, plain_ns=plain_ns)
    seen = {root.name for window in added(windows, 8) for root in window.structure.roots}
    assert seen == {"aten::relu", "aten::neg"}
    assert windows.structure_varies


def test_the_events_of_a_warm_up_window_are_not_read(
    windows_type: type[OperatorWindows], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Counted()
    windows = windows_type(call_of(model), [], DEFAULT)
    monkeypatch.delattr(windows_module, "fold")
    windows.discard_cold()
    assert model.calls > 0
    assert windows.windows == []


@pytest.mark.parametrize("plain_ns", [1e3, 1e12])
def test_a_call_whose_time_is_known_is_not_timed_for_windows(plain_ns: float) -> None:
    model = Counted()
    windows = OperatorWindows(call_of(model), [], DEFAULT, plain_ns=plain_ns)
    found = added(windows, 4)
    short = plain_ns < LONG_CALL_NS
    sessions = 4 + (OperatorWindows.COLD if short else 0)
    between = 2 if short else 0  # one more call after every other window
    assert model.calls == (2 if short else 1) * sessions + between
    assert {window.plain_ns for window in found} == {plain_ns}
    excesses = [window.wall_ns - plain_ns for window in windows.kept]
    assert [excess.excess_ns for excess in windows.excesses()] == excesses


def test_windows_are_measured_in_the_grad_mode_of_the_call() -> None:
    modes = set()

    def model(x: torch.Tensor) -> torch.Tensor:
        modes.add((torch.is_inference_mode_enabled(), torch.is_grad_enabled()))
        return x.neg()

    call = Call(model, (torch.ones(4),), {}, torch.device("cpu"), grad_mode="grad")
    added(OperatorWindows(call, [], DEFAULT), 2)
    assert modes == {(False, True)}


# --- which windows are kept ---------------------------------------------------------------------


def folded(wall_ns: int, *nodes: DeviceNode) -> Window:
    return fold(nodes, [], wall_ns, DEFAULT)


def windows_of(*found: Window) -> OperatorWindows:
    windows = OperatorWindows(call_of(torch.relu), [], DEFAULT)
    windows.windows = list(found)
    return windows


def walls_of(*walls_ns: int) -> OperatorWindows:
    return windows_of(*[folded(wall_ns) for wall_ns in walls_ns])


def kept_and_disturbed(windows: OperatorWindows) -> Iterator[list[int]]:
    for found in (windows.kept, windows.disturbed):
        yield [window.wall_ns for window in found]


def test_disturbed_windows_are_left_out() -> None:
    assert list(kept_and_disturbed(walls_of(300, 100, 110, 149, 174))) == [
        [100, 110, 149, 174], [300],
    ]  # fmt: skip
    assert list(kept_and_disturbed(walls_of(600, 1000, 1000, 1500, 1501, 40_000, 900))) == [
        [600, 1000, 1000, 1500, 900], [1501, 40_000],
    ]  # fmt: skip


def test_one_fast_window_does_not_outvote_the_others() -> None:
    windows = walls_of(100, 201, 202, 203, 204)
    assert len(windows.kept) == 5
    assert windows.disturbed == []


@pytest.mark.parametrize("walls_ns", [(), (7,), (9000, 1000, 8000)])
def test_windows_within_the_limit_are_all_kept(walls_ns: tuple[int, ...]) -> None:
    assert list(kept_and_disturbed(walls_of(*walls_ns))) == [list(walls_ns), []]


def test_the_overhead_comes_from_kept_windows_alone() -> None:
    usual = [folded(100, DeviceNode("aten::a", 0, 9, 9, [DeviceNode("aten::b", 1, 2, 1)]))] * 4
    windows = windows_of(*usual, folded(10_000, DeviceNode("aten::c", 0, 9, 9)))
    assert [(e.excess_ns, e.events, e.root_events) for e in windows.excesses()] == [(100, 2, 1)] * 4


def test_a_structure_that_varies_is_noticed_even_in_a_disturbed_window() -> None:
    usual = DeviceNode("aten::relu", 0, 9, 9)
    slower = DeviceNode("aten::relu", 0, 90, 90)
    other = DeviceNode("aten::neg", 0, 9, 9)
    same = windows_of(folded(100, usual), folded(200, slower), folded(100, usual))
    assert not same.structure_varies
    assert not windows_of(folded(100, usual)).structure_varies
    assert windows_of(*[folded(100, usual)] * 3, folded(90_000, other)).structure_varies
    assert windows_of(folded(100, usual), folded(100, usual, usual)).structure_varies
