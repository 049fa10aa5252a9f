"""Folding of event trees: calls, self time and children of each operator, by root and call site."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.macs.counting import KIND_OF_COMPOSITE, MacCall
from pytest_hiddencost.measure.operators.folding import (
    CallSite,
    CellKey,
    Cells,
    KindCount,
    Root,
    Window,
    add,
    fold,
    is_operator,
)
from tests.profiles import patient


class Event(NamedTuple):
    """One event of a profiler's tree."""

    name: str
    duration_time_ns: int
    children: tuple[Event, ...] = ()


def leaf(name: str, duration_ns: int = 0) -> Event:
    return Event(name, duration_ns)


def over(name: str, *children: Event, own: int = 0) -> Event:
    """An event around others, with ``own`` ns of self time."""
    return Event(name, own + sum(child.duration_time_ns for child in children), children)


def folded(
    *roots: Event,
    macs: Sequence[MacCall] = (),
    call_sites: Sequence[tuple[str, CallSite]] = (),
    wall_ns: int = 1000,
) -> Window:
    return fold(roots, macs, wall_ns, DEFAULT, call_sites)


def timed(window: Window) -> dict[str, list[int]]:
    """Calls and self time of each operator."""
    return {name: cell[:2] for name, cell in window.operators().items()}


def within(window: Window) -> dict[str, dict[str, list[int]]]:
    """Calls and self time of each operator in each root."""
    roots: dict[str, Cells] = {}
    for key, cell in window.cells():
        add(roots.setdefault(key.root.name, {}), key.operator, cell)
    return {root: {name: cell[:2] for name, cell in cells.items()} for root, cells in roots.items()}


def root_calls(window: Window) -> dict[str, int]:
    calls: dict[str, int] = {}
    for root, count in window.structure.roots.items():
        calls[root.name] = calls.get(root.name, 0) + count
    return calls


def children(window: Window) -> dict[str, int]:
    return {name: cell[2] for name, cell in window.operators().items()}


def kinds(window: Window) -> dict[str, tuple[int, int, int]]:
    """Calls, MACs and kernel time of each kind."""
    spent = {kind: 0 for kind in window.structure.kinds}
    for key, cell in window.cells():
        if key.is_mac and key.kind is not None:
            spent[key.kind] += cell[1]
    return {kind: (*count, spent[kind]) for kind, count in window.structure.kinds.items()}


def hidden_kernels(window: Window) -> dict[str, int]:
    """Self time of operators that ran a MAC kernel without an event."""
    hidden: dict[str, int] = {}
    for key, cell in window.cells():
        if key.is_mac and not DEFAULT.is_mac_kernel(key.operator):
            hidden[key.operator] = hidden.get(key.operator, 0) + cell[1]
    return hidden


def by_key(window: Window) -> dict[CellKey, list[int]]:
    return dict(window.cells())


CONV = MacCall("aten::mkldnn_convolution", "conv2d 3x3", 1000)
GEMM = MacCall("aten::addmm", "matmul", 10)


# --- cells ---------------------------------------------------------------------------------------


def test_self_time_is_the_duration_without_the_operators_inside() -> None:
    convolution = over("aten::convolution", leaf("aten::empty", 30), own=50)
    conv2d = over("aten::conv2d", convolution, own=20)
    window = folded(conv2d, leaf("aten::relu", 7), wall_ns=117)
    assert timed(window) == {
        "aten::conv2d": [1, 20],
        "aten::convolution": [1, 50],
        "aten::empty": [1, 30],
        "aten::relu": [1, 7],
    }
    assert window.structure.events == 4
    assert window.wall_ns == 117


def test_calls_of_one_operator_are_added_up() -> None:
    window = folded(*[leaf("aten::relu", duration) for duration in (1, 2, 3)])
    assert window.operators() == {"aten::relu": [3, 6, 0, 0]}
    assert window.structure.roots == {Root("aten::relu", None): 3}


def test_an_operator_inside_itself_is_counted_twice_and_timed_once() -> None:
    window = folded(over("aten::add", leaf("aten::add", 30), own=10))
    assert window.operators() == {"aten::add": [2, 40, 1, 0]}
    assert root_calls(window) == {"aten::add": 1}


def test_a_composite_is_an_operator_that_no_other_operator_called() -> None:
    inner = over("aten::contiguous", leaf("aten::copy_", 8), own=2)
    window = folded(over("aten::conv2d", inner, own=1), inner, over("aten::conv2d", inner))
    assert within(window) == {
        "aten::conv2d": {
            "aten::conv2d": [2, 1],
            "aten::contiguous": [2, 4],
            "aten::copy_": [2, 16],
        },
        "aten::contiguous": {"aten::contiguous": [1, 2], "aten::copy_": [1, 8]},
    }
    assert root_calls(window) == {"aten::conv2d": 2, "aten::contiguous": 1}


def test_direct_child_events_are_counted() -> None:
    inner = over("aten::contiguous", leaf("aten::empty"), leaf("aten::copy_"))
    window = folded(over("aten::conv2d", inner, leaf("aten::view")), inner)
    assert children(window) == {
        "aten::conv2d": 2, "aten::contiguous": 4, "aten::empty": 0, "aten::copy_": 0,
        "aten::view": 0,
    }  # fmt: skip
    assert window.structure.root_events == 2


def test_a_call_without_events_has_an_empty_window() -> None:
    window = folded(wall_ns=100)
    assert (window.operators(), window.structure.roots, window.structure.events) == ({}, {}, 0)
    assert window.wall_ns == 100


def test_events_of_no_length_are_counted() -> None:
    window = folded(over("aten::a", leaf("aten::b"), leaf("aten::b"), own=10))
    assert window.operators() == {"aten::a": [1, 10, 2, 0], "aten::b": [2, 0, 0, 0]}


def test_a_child_that_fills_its_parent_leaves_it_no_time() -> None:
    window = folded(over("aten::a", leaf("aten::b", 10)))
    assert within(window) == {"aten::a": {"aten::a": [1, 0], "aten::b": [1, 10]}}


def test_a_child_that_outlasts_its_parent_gives_a_negative_self_time() -> None:
    window = folded(Event("aten::a", 50, (leaf("aten::b", 53),)))
    assert timed(window) == {"aten::a": [1, -3], "aten::b": [1, 53]}


# --- structure ---------------------------------------------------------------------------------


def test_the_structure_holds_calls_without_times() -> None:
    slow = folded(over("aten::add", leaf("aten::copy_", 8), own=1), wall_ns=10)
    fast = folded(over("aten::add", leaf("aten::copy_", 4), own=9), wall_ns=90)
    other = folded(over("aten::add", leaf("aten::copy_", 4), leaf("aten::copy_", 4)))
    assert slow.structure == fast.structure
    assert slow.structure.calls_by_root() == {
        ("aten::add", "aten::add"): 1, ("aten::add", "aten::copy_"): 1,
    }  # fmt: skip
    assert slow.structure != other.structure
    assert slow.structure.calls_by_root() != other.structure.calls_by_root()


def test_the_structure_holds_the_root_operator_of_each_call() -> None:
    inside = folded(over("aten::add", leaf("aten::copy_", 1)), over("aten::mul"))
    beside = folded(over("aten::add"), over("aten::mul", leaf("aten::copy_", 1)))
    assert inside.operators().keys() == beside.operators().keys()
    assert inside.structure.calls_by_root() != beside.structure.calls_by_root()


def test_calls_by_root_take_call_sites_together() -> None:
    roots = leaf("aten::relu"), leaf("aten::relu")
    apart = folded(*roots, call_sites=[("aten::relu", FIRST), ("aten::relu", SECOND)])
    assert apart.structure != folded(*roots).structure
    assert apart.structure.calls_by_root() == folded(*roots).structure.calls_by_root()
    assert apart.structure.calls_by_root() == {("aten::relu", "aten::relu"): 2}


def test_windows_stay_small() -> None:
    window = folded(*[over("aten::add", leaf("aten::copy_", 1))] * 500)
    assert len(window.raw_ns) == len(window.structure.keys) == 2
    assert window.structure.events == 1000


# --- annotations -------------------------------------------------------------------------------


@pytest.mark.parametrize("annotation", ["my block", "[memory]", "ProfilerStep#3", "a:b", ""])
def test_an_annotation_is_transparent(annotation: str) -> None:
    assert not is_operator(annotation)
    inner = leaf("aten::copy_", 8)
    window = folded(over("aten::add", over(annotation, inner, leaf("aten::view", 1), own=5), own=2))
    assert window.operators() == {
        "aten::add": [1, 7, 3, 1], "aten::copy_": [1, 8, 0, 0], "aten::view": [1, 1, 0, 0],
    }  # fmt: skip
    assert window.structure.events == 4


def test_operators_in_an_annotation_around_them_are_roots() -> None:
    block = over("my block", leaf("aten::relu", 5), over("aten::add", leaf("aten::empty", 2)))
    window = folded(over("my model", block, own=30), leaf("aten::cat", 4))
    assert root_calls(window) == {"aten::relu": 1, "aten::add": 1, "aten::cat": 1}
    assert sum(window.raw_ns) == 11
    assert (window.structure.root_events, window.structure.events) == (5, 6)


def test_an_empty_annotation_is_an_event_too() -> None:
    window = folded(over("aten::add", leaf("[memory]"), own=5), leaf("[memory]"))
    assert window.operators() == {"aten::add": [1, 5, 1, 1]}
    assert (window.structure.root_events, window.structure.root_annotations) == (2, 1)
    assert window.structure.events == 3


def test_an_annotation_inside_a_mac_call_is_transparent() -> None:
    gemm = over("aten::addmm", over("my kernel", leaf("aten::copy_", 9), own=5), own=40)
    window = folded(gemm, macs=[GEMM])
    assert window.operators() == {"aten::addmm": [1, 45, 2, 1], "aten::copy_": [1, 9, 0, 0]}
    assert kinds(window) == {"matmul": (1, 10, 45)}
    assert window.structure.events == 3


def test_a_mac_call_inside_an_annotation_is_found() -> None:
    linear = over("aten::linear", over("my block", leaf("aten::addmm", 6), own=3), own=1)
    window = folded(over("my model", linear, leaf("aten::addmm", 2)), macs=[GEMM, GEMM])
    assert window.structure.matched == 2
    assert kinds(window) == {"linear": (1, 10, 6), "matmul": (1, 10, 2)}
    assert timed(window) == {"aten::linear": [1, 4], "aten::addmm": [2, 8]}


# --- call sites ---------------------------------------------------------------------------------

FIRST, SECOND = CallSite("encoder.0", "model.py:12"), CallSite("encoder.1", "model.py:12")


def test_call_sites_are_matched_with_root_operators_in_order() -> None:
    conv2d = over("aten::conv2d", leaf("aten::empty", 3), own=2)
    call_sites = [("aten::conv2d", FIRST), ("aten::relu", FIRST), ("aten::conv2d", SECOND)]
    window = folded(
        conv2d, leaf("aten::relu", 5), over("my block", conv2d, conv2d), call_sites=call_sites
    )
    assert by_key(window) == {
        CellKey(Root("aten::conv2d", FIRST), "aten::conv2d", None, False): [1, 2, 1, 0],
        CellKey(Root("aten::conv2d", FIRST), "aten::empty", None, False): [1, 3, 0, 0],
        CellKey(Root("aten::relu", FIRST), "aten::relu", None, False): [1, 5, 0, 0],
        CellKey(Root("aten::conv2d", SECOND), "aten::conv2d", None, False): [1, 2, 1, 0],
        CellKey(Root("aten::conv2d", SECOND), "aten::empty", None, False): [1, 3, 0, 0],
        CellKey(Root("aten::conv2d", None), "aten::conv2d", None, False): [1, 2, 1, 0],
        CellKey(Root("aten::conv2d", None), "aten::empty", None, False): [1, 3, 0, 0],
    }
    assert set(window.structure.roots.values()) == {1}


def test_calls_from_one_call_site_are_added_up() -> None:
    roots = [leaf("aten::relu", 5), leaf("aten::relu", 6)]
    window = folded(*roots, call_sites=[("aten::relu", FIRST)] * 2)
    assert window.structure.roots == {Root("aten::relu", FIRST): 2}
    assert list(by_key(window).values()) == [[2, 11, 0, 0]]


def test_no_call_site_is_known_after_one_that_does_not_match() -> None:
    call_sites = [("aten::relu", FIRST), ("aten::cat", FIRST), ("aten::relu", SECOND)]
    window = folded(*[leaf("aten::relu", 1)] * 3, call_sites=call_sites)
    assert window.structure.roots == {Root("aten::relu", FIRST): 1, Root("aten::relu", None): 2}


def test_a_mac_call_has_the_call_site_of_its_root() -> None:
    linear = over("aten::linear", leaf("aten::addmm", 6), own=1)
    call_sites = [("aten::linear", FIRST), ("aten::addmm", SECOND)]
    window = folded(linear, leaf("aten::addmm", 2), macs=[GEMM, GEMM], call_sites=call_sites)
    assert by_key(window) == {
        CellKey(Root("aten::linear", FIRST), "aten::linear", None, False): [1, 1, 1, 0],
        CellKey(Root("aten::linear", FIRST), "aten::addmm", "linear", True): [1, 6, 0, 0],
        CellKey(Root("aten::addmm", SECOND), "aten::addmm", "matmul", True): [1, 2, 0, 0],
    }


# --- MACs --------------------------------------------------------------------------------------


def test_mac_calls_are_found_in_their_order() -> None:
    first = MacCall("aten::mkldnn_convolution", "conv2d 3x3", 1000)
    second = MacCall("aten::mkldnn_convolution", "conv2d 1x1", 100)
    slow, fast = (leaf("aten::mkldnn_convolution", duration) for duration in (7, 3))
    window = folded(slow, leaf("aten::relu", 1), fast, macs=[first, second])
    assert window.structure.matched == 2
    assert kinds(window) == {"conv2d 3x3": (1, 1000, 7), "conv2d 1x1": (1, 100, 3)}
    assert window.structure.operator_macs == {"aten::mkldnn_convolution": 1100}


def test_calls_of_one_kind_are_added_up() -> None:
    window = folded(
        *[leaf("aten::mkldnn_convolution", duration) for duration in (7, 3)], macs=[CONV, CONV]
    )
    assert kinds(window) == {"conv2d 3x3": (2, 2000, 10)}
    assert window.structure.kinds == {"conv2d 3x3": KindCount(2, 2000)}


def test_a_kinds_time_is_that_of_its_kernels_alone() -> None:
    gemm = over("aten::addmm", leaf("aten::expand", 5), leaf("aten::copy_", 9), own=40)
    window = folded(gemm, macs=[GEMM])
    assert kinds(window) == {"matmul": (1, 10, 40)}
    assert window.operators()["aten::copy_"] == [1, 9, 0, 0]


@pytest.mark.parametrize("composite", [name for name in KIND_OF_COMPOSITE if is_operator(name)])
def test_a_composite_names_the_kind(composite: str) -> None:
    window = folded(over(composite, leaf("aten::t", 1), leaf("aten::addmm", 6)), macs=[GEMM])
    assert kinds(window) == {KIND_OF_COMPOSITE[composite]: (1, 10, 6)}


def test_the_outermost_composite_names_the_kind() -> None:
    inner = over("aten::linear", leaf("aten::addmm", 6))
    lstm = over("aten::lstm", over("aten::lstm_cell", inner))
    attention = over("aten::_native_multi_head_attention", inner)
    window = folded(lstm, attention, inner, leaf("aten::addmm", 6), macs=[GEMM] * 4)
    assert {kind: count.calls for kind, count in window.structure.kinds.items()} == {
        "rnn": 1, "attention": 1, "linear": 1, "matmul": 1,
    }  # fmt: skip


def test_the_operators_around_a_mac_call_are_known() -> None:
    convolution = over("aten::_convolution", leaf("aten::mkldnn_convolution", 5))
    window = folded(over("aten::conv2d", convolution, leaf("aten::view", 1)), macs=[CONV])
    assert window.structure.around_macs == {"aten::conv2d", "aten::_convolution"}


def test_a_mac_call_inside_a_mac_call_of_its_name_is_not_matched() -> None:
    nested = over("aten::addmm", leaf("aten::addmm", 6), own=2)
    window = folded(nested, leaf("aten::addmm", 3), macs=[GEMM, GEMM])
    assert window.structure.matched == 2
    assert kinds(window) == {"matmul": (2, 20, 11)}


def test_a_kernel_without_an_event_is_counted_for_its_wrapper() -> None:
    deconvolution = MacCall("aten::convolution", "conv_transpose2d", 500)
    hidden = over(
        "aten::convolution", over("aten::_convolution", leaf("aten::empty", 4), own=90), own=6
    )
    window = folded(over("aten::conv_transpose2d", hidden, own=3), macs=[deconvolution])
    assert hidden_kernels(window) == {"aten::_convolution": 90}
    assert kinds(window) == {"conv_transpose2d": (1, 500, 90)}
    assert window.structure.operator_macs == {"aten::_convolution": 500}


def test_a_slow_copy_is_not_taken_for_the_kernel_without_an_event() -> None:
    deconvolution = MacCall("aten::convolution", "conv_transpose2d", 500)
    hidden = over("aten::convolution", leaf("aten::copy_", 70), own=30)
    window = folded(hidden, macs=[deconvolution])
    assert hidden_kernels(window) == {"aten::convolution": 30}


def test_kernels_without_events_are_added_up_over_calls() -> None:
    deconvolution = MacCall("aten::convolution", "conv_transpose2d", 500)
    hidden = [over("aten::convolution", own=own) for own in (90, 10)]
    window = folded(*hidden, macs=[deconvolution] * 2)
    assert hidden_kernels(window) == {"aten::convolution": 100}


def test_macs_of_several_kernels_belong_to_the_operator_that_was_counted() -> None:
    counted = MacCall("aten::_scaled_dot_product_attention_math", "attention", 800)
    kernels = leaf("aten::bmm", 30), leaf("aten::softmax", 5), leaf("aten::mm", 20)
    whole = over("aten::_scaled_dot_product_attention_math", *kernels)
    window = folded(whole, macs=[counted])
    assert window.structure.operator_macs == {"aten::_scaled_dot_product_attention_math": 800}
    assert kinds(window) == {"attention": (1, 800, 50)}


def test_counted_calls_that_did_not_happen_are_not_matched() -> None:
    window = folded(leaf("aten::mkldnn_convolution", 7), leaf("aten::relu", 1), macs=[CONV, GEMM])
    assert window.structure.matched == 1


def test_operators_outside_counted_calls_have_cells_of_their_own() -> None:
    linear = over("aten::linear", leaf("aten::addmm", 6), leaf("aten::view", 1), own=2)
    window = folded(linear, leaf("aten::addmm", 3), macs=[GEMM])
    linear_root, addmm_root = Root("aten::linear", None), Root("aten::addmm", None)
    assert by_key(window) == {
        CellKey(linear_root, "aten::addmm", "linear", True): [1, 6, 0, 0],
        CellKey(linear_root, "aten::linear", None, False): [1, 2, 2, 0],
        CellKey(linear_root, "aten::view", None, False): [1, 1, 0, 0],
        CellKey(addmm_root, "aten::addmm", None, False): [1, 3, 0, 0],
    }


# --- against a naive recursion -----------------------------------------------------------------

NAMES = (
    "aten::linear", "aten::lstm", "aten::conv2d", "aten::_convolution", "aten::mkldnn_convolution",
    "aten::addmm", "aten::bmm", "aten::copy_", "aten::view", "mylib::fused", "my block", "[memory]",
)  # fmt: skip
own_ns = st.integers(0, 50)
events = st.recursive(
    st.builds(leaf, st.sampled_from(NAMES), own_ns),
    lambda inner: st.builds(
        lambda name, inside, own: over(name, *inside, own=own),
        st.sampled_from(NAMES),
        st.lists(inner, min_size=1, max_size=4),
        own_ns,
    ),
    max_leaves=8,
)
trees = st.lists(events, max_size=6)
counted = st.lists(
    st.builds(
        MacCall,
        st.sampled_from(["aten::mkldnn_convolution", "aten::addmm", "aten::_convolution"]),
        st.sampled_from(["conv2d 3x3", "conv2d 1x1", "matmul"]),
        st.integers(1, 999),
    ),
    max_size=6,
)
known_call_sites = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([FIRST, SECOND])))


def operator_roots(tree: Sequence[Event]) -> list[Event]:
    """Operators in no other operator, in their order."""
    found: list[Event] = []
    for event in tree:
        found += [event] if is_operator(event.name) else operator_roots(event.children)
    return found


def size(tree: Sequence[Event]) -> int:
    return sum(1 + size(event.children) for event in tree)


@dataclass
class Naive:
    """The expected window, by plain recursion over the tree."""

    mac_calls: list[MacCall]
    call_sites: list[tuple[str, CallSite]]
    cells: dict[CellKey, list[int]] = field(default_factory=dict)
    kinds: dict[str, list[int]] = field(default_factory=dict)  # calls, MACs
    macs: int = 0
    matched: int = 0
    _root: Root = field(init=False)

    def visit(self, tree: Sequence[Event]) -> None:
        for event in operator_roots(tree):
            call_site = None
            if self.call_sites and self.call_sites[0][0] == event.name:
                call_site = self.call_sites.pop(0)[1]
            else:
                self.call_sites = []
            self._root = Root(event.name, call_site)
            self._plain(event, ())

    def _own(self, event: Event) -> tuple[int, list[Event], int, int]:
        """Return self time, and direct child operators, events and annotations."""
        inside, below, annotations = [], 0, 0
        for child in event.children:
            below += 1
            if is_operator(child.name):
                inside.append(child)
            else:
                _, deeper, more, other = self._own(child)
                inside += deeper
                below += more
                annotations += other + 1
        own_ns = event.duration_time_ns - sum(e.duration_time_ns for e in inside)
        return own_ns, inside, below, annotations

    def _add(self, key: CellKey, *numbers: int) -> None:
        cell = self.cells.setdefault(key, [0, 0, 0, 0])
        self.cells[key] = [a + b for a, b in zip(cell, numbers, strict=True)]

    def _plain(self, event: Event, above: tuple[str, ...]) -> None:
        if self.matched < len(self.mac_calls):
            call = self.mac_calls[self.matched]
            if call.operator == event.name:
                self.matched += 1
                return self._mac_call(event, call, above)
        self_ns, inside, *below = self._own(event)
        self._add(CellKey(self._root, event.name, None, False), 1, self_ns, *below)
        for child in inside:
            self._plain(child, (*above, event.name))
        return None

    def _mac_call(self, event: Event, call: MacCall, above: tuple[str, ...]) -> None:
        known = [KIND_OF_COMPOSITE[name] for name in above if name in KIND_OF_COMPOSITE]
        kind = (known or [call.kind])[0]
        found = [(e.name, *self._own(e)) for e in self._all(event)]
        names = list(dict.fromkeys(name for name, *_ in found))
        kernels = [name for name in names if DEFAULT.is_mac_kernel(name)]
        if not kernels:
            spent = {name: sum(own for n, own, *_ in found if n == name) for name in names}
            wrappers = [name for name in names if DEFAULT.is_mac_wrapper(name)] or names
            kernels = [max(wrappers, key=lambda name: spent[name])]
        for name, self_ns, _, *below in found:
            self._add(CellKey(self._root, name, kind, name in kernels), 1, self_ns, *below)
        count = self.kinds.setdefault(kind, [0, 0])
        count[0] += 1
        count[1] += call.macs
        self.macs += call.macs

    def _all(self, event: Event) -> list[Event]:
        """An operator and those inside it."""
        _, inside, *_ = self._own(event)
        return [event, *(deeper for child in inside for deeper in self._all(child))]


@patient
@given(tree=trees, mac_calls=counted, call_sites=known_call_sites)
def test_a_window_equals_the_result_of_plain_recursion(
    tree: list[Event], mac_calls: list[MacCall], call_sites: list[tuple[str, CallSite]]
) -> None:
    naive = Naive(mac_calls, list(call_sites))
    naive.visit(tree)
    window = folded(*tree, macs=mac_calls, call_sites=call_sites)
    assert by_key(window) == naive.cells
    assert window.structure.matched == naive.matched
    assert window.structure.kinds == {kind: tuple(count) for kind, count in naive.kinds.items()}
    assert sum(window.structure.operator_macs.values()) == naive.macs


@patient
@given(tree=trees, mac_calls=counted, call_sites=known_call_sites)
def test_no_time_and_no_event_is_lost_or_invented(
    tree: list[Event], mac_calls: list[MacCall], call_sites: list[tuple[str, CallSite]]
) -> None:
    window = folded(*tree, macs=mac_calls, call_sites=call_sites)
    roots = operator_roots(tree)
    assert all(self_ns >= 0 for self_ns in window.raw_ns)
    assert sum(window.raw_ns) == sum(root.duration_time_ns for root in roots)
    for name, cells in within(window).items():
        inside_ns = sum(self_ns for _, self_ns in cells.values())
        assert inside_ns == sum(root.duration_time_ns for root in roots if root.name == name)
    assert window.structure.events == size(tree)
    assert sum(window.structure.roots.values()) == len(roots)


def stretched(event: Event, factor: int) -> Event:
    inside = tuple(stretched(child, factor) for child in event.children)
    return Event(event.name, event.duration_time_ns * factor, inside)


@patient
@given(tree=trees, mac_calls=counted, factor=st.integers(0, 1000))
def test_equal_calls_have_equal_structures_however_long_they_took(
    tree: list[Event], mac_calls: list[MacCall], factor: int
) -> None:
    # Without counted calls: a kernel without an event is found by its time.
    once = folded(*tree)
    again = folded(*[stretched(event, factor) for event in tree], wall_ns=factor)
    assert again.structure == once.structure
    assert list(again.raw_ns) == [factor * self_ns for self_ns in once.raw_ns]
    counted_once, counted_again = (folded(*tree, macs=mac_calls) for _ in range(2))
    assert counted_once == counted_again


def shuffled(tree: Sequence[Event], rng: random.Random) -> tuple[Event, ...]:
    """Return the events in another order."""
    order = [event._replace(children=shuffled(event.children, rng)) for event in tree]
    rng.shuffle(order)
    return tuple(order)


@patient
@given(tree=trees, rng=st.randoms(use_true_random=False))
def test_the_order_of_calls_changes_no_total(tree: list[Event], rng: random.Random) -> None:
    before, after = folded(*tree), folded(*shuffled(tree, rng))
    assert by_key(after) == by_key(before)
    assert after.structure.roots == before.structure.roots
    assert after.structure.events == before.structure.events
    assert after.structure.calls_by_root() == before.structure.calls_by_root()
