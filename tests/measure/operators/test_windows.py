"""Profiler windows: raw events to trees, one call each, and those that were not disturbed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._C._autograd import DeviceType

from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.macs.counting import MacCall
from pytest_hiddencost.measure.operators.device_kernels import DeviceNode, device_nodes
from pytest_hiddencost.measure.operators.folding import CallSite, Node, Root, Window, fold
from pytest_hiddencost.measure.operators.windows import MARK, OperatorWindows, marked_call

CPU, CUDA = DeviceType.CPU, DeviceType.CUDA


@dataclass
class Raw:
    """The part of torch's event that is read."""

    text: str
    start: int
    duration: int
    kind: DeviceType = CPU
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


Shape = tuple[str, int, "list[Shape]"]  # name, ns of kernels, and what is inside


def shape(nodes: Sequence[Node]) -> list[Shape]:
    return [(node.name, node.duration_time_ns, shape(node.children)) for node in nodes]


def names(nodes: Sequence[Node]) -> list[str]:
    """Every event, those around others first."""
    return [name for node in nodes for name in (node.name, *names(node.children))]


# --- operators on the host, kernels on a device -------------------------------------------------


def test_an_operator_and_those_around_it_are_charged_with_the_kernels_it_launched() -> None:
    raw = [
        Raw("aten::conv2d", 0, 90, correlation=1),
        Raw("aten::cudnn_convolution", 10, 50, correlation=2),
        Raw("cudaLaunchKernel", 20, 5, correlation=3),
        Raw("implicit_gemm", 100, 700, kind=CUDA, linked=2),
        Raw("nchwToNhwc", 800, 30, kind=CUDA, linked=2),
        Raw("add_bias", 830, 20, kind=CUDA, linked=1),
        Raw("aten::relu", 95, 5, correlation=4),
        Raw("elementwise", 900, 40, kind=CUDA, linked=4),
        Raw("Memset", 950, 60, kind=CUDA),
    ]
    nodes = device_nodes(raw, 0, 1_000)
    assert shape(nodes) == [
        ("aten::conv2d", 750, [("aten::cudnn_convolution", 730, [])]),
        ("aten::relu", 40, []),
    ]
    window = fold(nodes, [], 1_000, DEFAULT)
    assert {name: cell[1] for name, cell in window.operators().items()} == {
        "aten::conv2d": 20, "aten::cudnn_convolution": 730, "aten::relu": 40,
    }  # fmt: skip


def test_kernels_count_for_the_call_that_launched_them_whenever_they_ran() -> None:
    raw = [
        Raw("aten::relu", 10, 5, correlation=1),
        Raw("aten::relu", 110, 5, correlation=2),
        Raw("late", 500, 70, kind=CUDA, linked=2),
        Raw("of the call before", 120, 9, kind=CUDA, linked=1),
    ]
    assert shape(device_nodes(raw, 100, 200)) == [("aten::relu", 70, [])]


def test_only_operators_that_start_in_the_call_are_read() -> None:
    raw = [Raw(f"aten::at_{start}", start, 1) for start in (99, 100, 150, 199, 200)]
    assert names(device_nodes(raw, 100, 200)) == ["aten::at_100", "aten::at_150", "aten::at_199"]


def test_only_operators_are_read_and_in_the_order_of_their_start() -> None:
    raw = [
        Raw("aten::relu", 50, 10),
        Raw("[memory]", 20, 0),
        Raw("my block", 0, 100),
        Raw("aten::add", 5, 20),
    ]
    assert shape(device_nodes(raw, 0, 100)) == [("aten::add", 0, []), ("aten::relu", 0, [])]


def test_parents_come_before_children_that_start_with_them() -> None:
    raw = [Raw("aten::empty", 5, 3), Raw("aten::zeros", 4, 9), Raw("aten::cat", 4, 20)]
    assert shape(device_nodes(raw, 0, 100)) == [
        ("aten::cat", 0, [("aten::zeros", 0, [("aten::empty", 0, [])])])
    ]


def test_what_begins_when_another_ends_is_not_inside_it() -> None:
    raw = [
        Raw("aten::a", 0, 10),
        Raw("aten::b", 10, 2),
        Raw("aten::c", 12, 5),
        Raw("aten::d", 3, 7),
    ]
    assert shape(device_nodes(raw, 0, 100)) == [
        ("aten::a", 0, [("aten::d", 0, [])]), ("aten::b", 0, []), ("aten::c", 0, []),
    ]  # fmt: skip


def test_a_call_without_events_has_no_nodes() -> None:
    assert device_nodes([], 0, 100) == []
    assert device_nodes([Raw("kernel", 5, 5, kind=CUDA, linked=7)], 0, 100) == []


@dataclass
class Launch:
    """An operator, the time of the kernels it launched itself, and the operators inside."""

    name: str
    kernels_ns: int
    inside: list[Launch]


launches = st.recursive(
    st.builds(Launch, st.sampled_from(["aten::a", "aten::b"]), st.integers(0, 99), st.just([])),
    lambda inner: st.builds(
        Launch,
        st.sampled_from(["aten::a", "aten::b"]),
        st.integers(0, 99),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


def recorded(trees: Sequence[Launch]) -> list[Raw]:
    """Such operators as torch's profiler lists them, each with its kernel if it has one."""
    raw: list[Raw] = []
    now = 0

    def record(launch: Launch) -> None:
        nonlocal now
        correlation = len(raw) + 1
        start, now = now, now + 1
        event = Raw(launch.name, start, 0, correlation=correlation)
        raw.append(event)
        if launch.kernels_ns:
            raw.append(Raw("k", 9_999, launch.kernels_ns, kind=CUDA, linked=correlation))
        for inner in launch.inside:
            record(inner)
        now += 1
        event.duration = now - start

    for tree in trees:
        record(tree)
    return raw


def charged(trees: Sequence[Launch]) -> list[Shape]:
    """What the nodes should be."""
    found: list[Shape] = []
    for tree in trees:
        inside = charged(tree.inside)
        found.append((tree.name, tree.kernels_ns + sum(ns for _, ns, _ in inside), inside))
    return found


@settings(deadline=None)
@given(trees=st.lists(launches, max_size=4), rng=st.randoms(use_true_random=False))
def test_the_tree_is_found_in_whatever_order_events_come(
    trees: list[Launch], rng: random.Random
) -> None:
    raw = recorded(trees)
    rng.shuffle(raw)
    nodes = device_nodes(raw, 0, 10_000)
    assert shape(nodes) == charged(trees)
    window = fold(nodes, [], 10_000, DEFAULT)
    assert sum(window.raw_ns) == sum(event.duration for event in raw if event.kind == CUDA)
    assert all(self_ns >= 0 for self_ns in window.raw_ns)


def test_a_node_of_a_device_can_be_folded() -> None:
    inner = DeviceNode("aten::b", 2, 5, 30)
    window = fold([DeviceNode("aten::a", 0, 9, 40, [inner])], [], 100, DEFAULT)
    assert window.operators() == {"aten::a": [1, 10, 1, 0], "aten::b": [1, 30, 0, 0]}


# --- one call -----------------------------------------------------------------------------------


def call_of(model: object, size: int = 4) -> Call:
    assert callable(model)
    return Call(model, (torch.ones(size),), {}, torch.device("cpu"))


class Counted:
    """A model that knows how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x.neg()


@pytest.mark.parametrize(("warm", "calls"), [(True, 2), (False, 1)])
def test_what_is_seen_is_one_call_however_many_ran(warm: bool, calls: int) -> None:
    model = Counted()
    mark, nodes = marked_call(call_of(model), warm=warm)
    assert model.calls == calls
    assert mark.name == MARK
    assert names(nodes) == ["aten::neg"]
    assert 0 <= nodes[0].duration_time_ns <= mark.duration_time_ns


def test_operators_are_seen_with_what_they_call() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        with torch.profiler.record_function("my block"):
            return x.reshape(2, 2).contiguous().narrow(0, 0, 1)

    _, (block,) = marked_call(call_of(model), warm=True)
    narrow = block.children[-1]
    assert block.name == "my block"
    assert narrow.name == "aten::narrow"
    assert "aten::slice" in names(narrow.children)


def test_something_else_can_be_run_in_its_place() -> None:
    model = Counted()
    ran: list[bool] = []

    def instead() -> object:
        ran.append(torch.is_inference_mode_enabled())
        return torch.ones(2).neg()

    _, nodes = marked_call(call_of(model), warm=True, run=instead)
    assert (model.calls, ran) == (0, [True, True])
    assert "aten::neg" in names(nodes)


def test_an_error_of_the_model_is_the_users_to_see() -> None:
    def model(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        marked_call(call_of(model), warm=False)


# --- window by window ---------------------------------------------------------------------------


@pytest.fixture(params=["short", "long"])
def windows_type(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> type[OperatorWindows]:
    """Every call is taken for a short or for a long one, however slow this machine is now."""
    short = request.param == "short"
    monkeypatch.setattr(OperatorWindows, "SHORT_NS", 10**18 if short else 0)
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


def test_macs_and_sites_reach_the_window(windows_type: type[OperatorWindows]) -> None:
    site = CallSite("head", "model.py:7")
    macs = [MacCall("aten::mv", "matmul", 16)]
    call = Call(torch.mv, (torch.ones(4, 4), torch.ones(4)), {}, torch.device("cpu"))
    (window,) = added(windows_type(call, macs, DEFAULT, [("aten::mv", site)]), 1)
    assert window.structure.matched == 1
    assert window.structure.roots == {Root("aten::mv", site): 1}


@pytest.mark.parametrize("plain_ns", [None, 1e6])
@pytest.mark.parametrize("period", [2, 3, 4])
def test_a_model_that_does_something_else_now_and_then_is_noticed(
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


@pytest.mark.parametrize("plain_ns", [1e3, 1e12])
def test_a_call_whose_time_is_known_is_not_timed_for_windows(plain_ns: float) -> None:
    model = Counted()
    windows = OperatorWindows(call_of(model), [], DEFAULT, plain_ns=plain_ns)
    found = added(windows, 4)
    short = plain_ns < OperatorWindows.SHORT_NS
    sessions = 4 + (OperatorWindows.COLD if short else 0)
    every_other_one_more = 2
    assert model.calls == (2 if short else 1) * sessions + every_other_one_more
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
def test_windows_that_are_none_too_slow_are_all_kept(walls_ns: tuple[int, ...]) -> None:
    assert list(kept_and_disturbed(walls_of(*walls_ns))) == [list(walls_ns), []]


def test_what_the_profiler_cost_is_read_from_kept_windows_alone() -> None:
    usual = [folded(100, DeviceNode("aten::a", 0, 9, 9, [DeviceNode("aten::b", 1, 2, 1)]))] * 4
    windows = windows_of(*usual, folded(10_000, DeviceNode("aten::c", 0, 9, 9)))
    assert [(e.excess_ns, e.events, e.root_events) for e in windows.excesses()] == [(100, 2, 1)] * 4


def test_a_structure_that_varies_is_noticed_even_in_a_window_that_is_left_out() -> None:
    usual = DeviceNode("aten::relu", 0, 9, 9)
    slower = DeviceNode("aten::relu", 0, 90, 90)
    other = DeviceNode("aten::neg", 0, 9, 9)
    same = windows_of(folded(100, usual), folded(200, slower), folded(100, usual))
    assert not same.structure_varies
    assert not windows_of(folded(100, usual)).structure_varies
    assert windows_of(*[folded(100, usual)] * 3, folded(90_000, other)).structure_varies
    assert windows_of(folded(100, usual), folded(100, usual, usual)).structure_varies
