"""Folding of profiler events: what each operator cost itself, alone and within what."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import patient

from pytest_hiddencost.profiling.folding import Event, KindTotal, Window, fold
from pytest_hiddencost.profiling.macs import KIND_OF_COMPOSITE, MacCall
from pytest_hiddencost.taxonomy import DEFAULT


class Node(NamedTuple):
    """An operator call: self time, children each after some more of it, and the rest of it."""

    name: str
    children: tuple[tuple[int, Node], ...] = ()
    rest: int = 0

    @property
    def duration(self) -> int:
        return self.rest + sum(gap + child.duration for gap, child in self.children)

    def events(self, start: int = 0) -> Iterator[Event]:
        yield self.name, start, start + self.duration, self.duration
        for gap, child in self.children:
            start += gap
            yield from child.events(start)
            start += child.duration


def leaf(name: str, duration: int) -> Node:
    return Node(name, (), duration)


def over(name: str, *children: Node, own: int = 0) -> Node:
    """A composite: children back to back, ``own`` ns of self time after them."""
    return Node(name, tuple((0, child) for child in children), own)


def call_of(*roots: Node, gap: int = 0) -> Node:
    """The whole call, whose "self time" is the time outside any operator."""
    return Node("", tuple((gap, root) for root in roots))


def folded(whole: Node, mac_calls: Sequence[MacCall] = (), *, inclusive: bool = True) -> Window:
    _, *events = whole.events()
    return fold(events, mac_calls, whole.duration, DEFAULT, inclusive=inclusive)


CONV = MacCall("aten::mkldnn_convolution", "conv2d 3x3", 1000)
GEMM = MacCall("aten::addmm", "matmul", 10)


# --- what a window says ------------------------------------------------------------------------


def test_self_time_is_what_the_operators_inside_leave() -> None:
    convolution = over("aten::convolution", leaf("aten::empty", 30), own=50)
    conv2d = over("aten::conv2d", convolution, own=20)
    window = folded(call_of(conv2d, leaf("aten::relu", 7), gap=5))
    assert window.operators() == {
        "aten::conv2d": [1, 20],
        "aten::convolution": [1, 50],
        "aten::empty": [1, 30],
        "aten::relu": [1, 7],
    }
    assert window.events == 4
    assert window.wall_ns == 117


def test_calls_of_one_operator_are_added_up() -> None:
    window = folded(call_of(*[leaf("aten::relu", duration) for duration in (1, 2, 3)]))
    assert window.operators() == {"aten::relu": [3, 6]}
    assert window.root_calls == {"aten::relu": 3}


def test_an_operator_inside_itself_is_counted_twice_and_timed_once() -> None:
    window = folded(call_of(over("aten::add", leaf("aten::add", 30), own=10)))
    assert window.operators() == {"aten::add": [2, 40]}
    assert window.root_calls == {"aten::add": 1}


def test_a_composite_is_what_no_other_operator_called() -> None:
    inner = over("aten::contiguous", leaf("aten::copy_", 8), own=2)
    window = folded(call_of(over("aten::conv2d", inner, own=1), inner, over("aten::conv2d", inner)))
    assert window.composites() == {
        "aten::conv2d": {
            "aten::conv2d": [2, 1],
            "aten::contiguous": [2, 4],
            "aten::copy_": [2, 16],
        },
        "aten::contiguous": {"aten::contiguous": [1, 2], "aten::copy_": [1, 8]},
    }
    assert window.root_calls == {"aten::conv2d": 2, "aten::contiguous": 1}


def test_structure_is_calls_alone() -> None:
    slow = call_of(over("aten::add", leaf("aten::copy_", 8), own=1))
    fast = call_of(over("aten::add", leaf("aten::copy_", 4), own=9))
    other = call_of(over("aten::add", leaf("aten::copy_", 4), leaf("aten::copy_", 4)))
    assert folded(slow).structure() == folded(fast).structure()
    assert folded(slow).structure() == {"aten::add": {"aten::add": 1, "aten::copy_": 1}}
    assert folded(slow).structure() != folded(other).structure()


def test_structure_tells_where_an_operator_was_called() -> None:
    inside = call_of(over("aten::add", leaf("aten::copy_", 1)), over("aten::mul"))
    beside = call_of(over("aten::add"), over("aten::mul", leaf("aten::copy_", 1)))
    assert folded(inside).operators().keys() == folded(beside).operators().keys()
    assert folded(inside).structure() != folded(beside).structure()


def test_no_events_at_all() -> None:
    window = fold([], [], 100, DEFAULT)
    assert (window.operators(), window.composites(), window.events) == ({}, {}, 0)
    assert window.wall_ns == 100


def test_events_of_no_length_are_counted() -> None:
    events = [("aten::a", 0, 10, 10), ("aten::b", 3, 3, 0), ("aten::b", 3, 3, 0)]
    window = fold(events, [], 10, DEFAULT)
    assert window.operators() == {"aten::a": [1, 10], "aten::b": [2, 0]}
    assert window.root_calls == {"aten::a": 1}


def test_a_child_that_fills_its_parent_is_inside_it() -> None:
    window = fold([("aten::a", 0, 10, 10), ("aten::b", 0, 10, 10)], [], 10, DEFAULT)
    assert window.composites() == {"aten::a": {"aten::a": [1, 0], "aten::b": [1, 10]}}


def test_what_begins_when_another_ends_is_not_inside_it() -> None:
    window = fold([("aten::a", 0, 10, 10), ("aten::b", 10, 12, 2)], [], 12, DEFAULT)
    assert window.root_calls == {"aten::a": 1, "aten::b": 1}


# --- MACs --------------------------------------------------------------------------------------


def test_mac_calls_are_found_in_their_order() -> None:
    first = MacCall("aten::mkldnn_convolution", "conv2d 3x3", 1000)
    second = MacCall("aten::mkldnn_convolution", "conv2d 1x1", 100)
    convolutions = [leaf("aten::mkldnn_convolution", duration) for duration in (7, 3)]
    whole = call_of(convolutions[0], leaf("aten::relu", 1), convolutions[1])
    window = folded(whole, [first, second])
    assert window.matched == 2
    assert window.kinds == {"conv2d 3x3": KindTotal(1, 1000, 7), "conv2d 1x1": KindTotal(1, 100, 3)}
    assert window.operator_macs == {"aten::mkldnn_convolution": 1100}


def test_calls_of_one_kind_are_added_up() -> None:
    window = folded(call_of(*[leaf("aten::mkldnn_convolution", d) for d in (7, 3)]), [CONV, CONV])
    assert window.kinds == {"conv2d 3x3": KindTotal(2, 2000, 10)}


def test_only_kernels_count_for_a_kinds_time() -> None:
    gemm = over("aten::addmm", leaf("aten::expand", 5), leaf("aten::copy_", 9), own=40)
    window = folded(call_of(gemm), [GEMM])
    assert window.kinds == {"matmul": KindTotal(1, 10, 40)}
    assert window.operators()["aten::copy_"] == [1, 9]


@pytest.mark.parametrize("composite", KIND_OF_COMPOSITE)
def test_a_kind_is_named_by_what_the_user_called(composite: str) -> None:
    window = folded(call_of(over(composite, leaf("aten::t", 1), leaf("aten::addmm", 6))), [GEMM])
    assert window.kinds == {KIND_OF_COMPOSITE[composite]: KindTotal(1, 10, 6)}


def test_the_widest_composite_names_the_kind() -> None:
    inner = over("aten::linear", leaf("aten::addmm", 6))
    lstm = over("aten::lstm", over("aten::lstm_cell", inner))
    attention = over("aten::_native_multi_head_attention", inner)
    window = folded(call_of(lstm, attention, inner, leaf("aten::addmm", 6)), [GEMM] * 4)
    assert {kind: total.calls for kind, total in window.kinds.items()} == {
        "rnn": 1, "attention": 1, "linear": 1, "matmul": 1,
    }  # fmt: skip


def test_the_operators_around_a_mac_call_are_known() -> None:
    convolution = over("aten::_convolution", leaf("aten::mkldnn_convolution", 5))
    window = folded(call_of(over("aten::conv2d", convolution, leaf("aten::view", 1))), [CONV])
    assert window.around_macs == {"aten::conv2d", "aten::_convolution"}


def test_a_mac_call_that_calls_its_like_is_one_call() -> None:
    nested = over("aten::addmm", leaf("aten::addmm", 6), own=2)
    window = folded(call_of(nested, leaf("aten::addmm", 3)), [GEMM, GEMM])
    assert window.matched == 2
    assert window.kinds == {"matmul": KindTotal(2, 20, 11)}


def test_a_kernel_below_the_profiler_is_booked_to_its_wrapper() -> None:
    deconvolution = MacCall("aten::convolution", "conv_transpose2d", 500)
    hidden = over(
        "aten::convolution", over("aten::_convolution", leaf("aten::empty", 4), own=90), own=6
    )
    window = folded(call_of(over("aten::conv_transpose2d", hidden, own=3)), [deconvolution])
    assert window.hidden_kernel_ns == {"aten::_convolution": 90}
    assert window.kinds == {"conv_transpose2d": KindTotal(1, 500, 90)}
    assert window.operator_macs == {"aten::_convolution": 500}


def test_a_slow_copy_is_not_taken_for_the_hidden_kernel() -> None:
    deconvolution = MacCall("aten::convolution", "conv_transpose2d", 500)
    hidden = over("aten::convolution", leaf("aten::copy_", 70), own=30)
    window = folded(call_of(hidden), [deconvolution])
    assert window.hidden_kernel_ns == {"aten::convolution": 30}


def test_hidden_kernels_of_several_calls_are_added_up() -> None:
    deconvolution = MacCall("aten::convolution", "conv_transpose2d", 500)
    hidden = [over("aten::convolution", own=own) for own in (90, 10)]
    window = folded(call_of(*hidden), [deconvolution] * 2)
    assert window.hidden_kernel_ns == {"aten::convolution": 100}


def test_macs_of_several_kernels_belong_to_the_operator_that_was_counted() -> None:
    counted = MacCall("aten::_scaled_dot_product_attention_math", "attention", 800)
    kernels = leaf("aten::bmm", 30), leaf("aten::softmax", 5), leaf("aten::mm", 20)
    whole = over("aten::_scaled_dot_product_attention_math", *kernels)
    window = folded(call_of(whole), [counted])
    assert window.operator_macs == {"aten::_scaled_dot_product_attention_math": 800}
    assert window.kinds == {"attention": KindTotal(1, 800, 50)}


def test_counted_calls_that_did_not_happen_are_not_matched() -> None:
    window = folded(
        call_of(leaf("aten::mkldnn_convolution", 7), leaf("aten::relu", 1)), [CONV, GEMM]
    )
    assert window.matched == 1


def test_what_is_in_no_counted_call_is_kept_apart() -> None:
    linear = over("aten::linear", leaf("aten::addmm", 6), leaf("aten::view", 1), own=2)
    window = folded(call_of(linear, leaf("aten::addmm", 3)), [GEMM])
    assert window.within_macs == {"aten::linear": {"aten::addmm": [1, 6]}}
    assert window.plain["aten::linear"] == {"aten::linear": [1, 2], "aten::view": [1, 1]}
    assert window.plain["aten::addmm"] == {"aten::addmm": [1, 3]}


# --- a device's own time -----------------------------------------------------------------------


def test_on_a_device_an_operator_is_charged_with_the_kernels_it_launched() -> None:
    events: list[Event] = [
        ("aten::conv2d", 0, 100, 0),
        ("aten::mkldnn_convolution", 10, 90, 700),
        ("aten::relu", 110, 120, 50),
        ("aten::relu", 130, 140, 60),
    ]
    window = fold(events, [CONV], 1000, DEFAULT, inclusive=False)
    assert window.operators() == {
        "aten::conv2d": [1, 0], "aten::mkldnn_convolution": [1, 700], "aten::relu": [2, 110],
    }  # fmt: skip
    assert window.kinds == {"conv2d 3x3": KindTotal(1, 1000, 700)}


# --- against a naive recursion -----------------------------------------------------------------

NAMES = (
    "aten::linear", "aten::lstm", "aten::conv2d", "aten::_convolution", "aten::mkldnn_convolution",
    "aten::addmm", "aten::bmm", "aten::copy_", "aten::view", "mylib::fused",
)  # fmt: skip
gaps = st.integers(0, 9)


def _inner(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    children = st.lists(st.tuples(gaps, nodes), min_size=1, max_size=4).map(tuple)
    return st.builds(Node, st.sampled_from(NAMES), children, gaps)


nodes = st.recursive(
    st.builds(leaf, st.sampled_from(NAMES), st.integers(1, 50)), _inner, max_leaves=8
)
wholes = st.builds(Node, st.just(""), st.lists(st.tuples(gaps, nodes), max_size=6).map(tuple), gaps)
counted = st.lists(
    st.builds(
        MacCall,
        st.sampled_from(["aten::mkldnn_convolution", "aten::addmm", "aten::_convolution"]),
        st.sampled_from(["conv2d 3x3", "conv2d 1x1", "matmul"]),
        st.integers(1, 999),
    ),
    max_size=6,
)


@dataclass
class Naive:
    """What a window should say, by plain recursion over the tree."""

    mac_calls: list[MacCall]
    operators: dict[str, list[int]] = field(default_factory=dict)
    composites: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    kinds: dict[str, KindTotal] = field(default_factory=dict)
    hidden: dict[str, int] = field(default_factory=dict)
    macs: int = 0
    matched: int = 0
    _inside: dict[str, int] | None = None

    def visit(self, node: Node, above: tuple[str, ...] = ()) -> None:
        own = node.duration - sum(child.duration for _, child in node.children)
        for cells in (self.operators, self.composites.setdefault((*above, node.name)[0], {})):
            cell = cells.setdefault(node.name, [0, 0])
            cell[0] += 1
            cell[1] += own
        expected = (
            self.mac_calls[self.matched].operator if self.matched < len(self.mac_calls) else ""
        )
        opened = self._inside is None and node.name == expected
        if opened:
            self._inside = {}
            self.matched += 1
        if self._inside is not None:
            self._inside[node.name] = self._inside.get(node.name, 0) + own
        for _, child in node.children:
            self.visit(child, (*above, node.name))
        if opened:
            self._close(self.mac_calls[self.matched - 1], above)

    def _close(self, call: MacCall, above: tuple[str, ...]) -> None:
        assert self._inside is not None
        spent, self._inside = self._inside, None
        known = [KIND_OF_COMPOSITE[name] for name in above if name in KIND_OF_COMPOSITE]
        total = self.kinds.setdefault((known or [call.kind])[0], KindTotal())
        kernels_ns = [ns for name, ns in spent.items() if DEFAULT.is_mac_kernel(name)]
        if not kernels_ns:
            wrappers = {n: ns for n, ns in spent.items() if DEFAULT.is_mac_wrapper(n)} or spent
            name = max(wrappers, key=lambda n: wrappers[n])
            self.hidden[name] = self.hidden.get(name, 0) + wrappers[name]
            kernels_ns = [wrappers[name]]
        total.calls += 1
        total.macs += call.macs
        total.self_ns += sum(kernels_ns)
        self.macs += call.macs


@patient
@given(whole=wholes, mac_calls=counted)
def test_a_window_is_what_plain_recursion_says(whole: Node, mac_calls: list[MacCall]) -> None:
    naive = Naive(mac_calls)
    for _, root in whole.children:
        naive.visit(root)
    window = folded(whole, mac_calls)
    assert window.operators() == naive.operators
    assert window.composites() == naive.composites
    assert window.matched == naive.matched
    assert window.kinds == naive.kinds
    assert window.hidden_kernel_ns == naive.hidden
    assert sum(window.operator_macs.values()) == naive.macs


@patient
@given(whole=wholes, mac_calls=counted)
def test_no_time_is_lost_or_made(whole: Node, mac_calls: list[MacCall]) -> None:
    window = folded(whole, mac_calls)
    self_ns = [cell[1] for cell in window.operators().values()]
    assert all(ns >= 0 for ns in self_ns)
    assert sum(self_ns) == sum(root.duration for _, root in whole.children)
    for root, cells in window.composites().items():
        inside = sum(ns for _, ns in cells.values())
        assert inside == sum(r.duration for _, r in whole.children if r.name == root)
    assert window.events == sum(cell[0] for cell in window.operators().values())


def shuffled(node: Node, rng: random.Random) -> Node:
    """The same calls in another order."""
    children = [(gap, shuffled(child, rng)) for gap, child in node.children]
    rng.shuffle(children)
    return node._replace(children=tuple(children))


@patient
@given(whole=wholes, rng=st.randoms(use_true_random=False))
def test_the_order_of_calls_changes_no_total(whole: Node, rng: random.Random) -> None:
    before, after = folded(whole), folded(shuffled(whole, rng))
    assert after.operators() == before.operators()
    assert after.composites() == before.composites()
    assert after.structure() == before.structure()
    assert after.root_calls == before.root_calls


@patient
@given(whole=wholes, mac_calls=counted, later=st.integers(1, 10**18))
def test_the_time_of_day_changes_nothing(whole: Node, mac_calls: list[MacCall], later: int) -> None:
    _, *events = whole.events(start=later)
    assert fold(events, mac_calls, whole.duration, DEFAULT) == folded(whole, mac_calls)


@patient
@given(whole=wholes, mac_calls=counted)
def test_charges_that_are_not_nested_are_booked_as_they_are(
    whole: Node, mac_calls: list[MacCall]
) -> None:
    window = folded(whole, mac_calls, inclusive=False)
    charged: dict[str, int] = {}
    _, *events = whole.events()
    for name, _, _, charge in events:
        charged[name] = charged.get(name, 0) + charge
    assert {name: cell[1] for name, cell in window.operators().items()} == charged
    assert window.structure() == folded(whole, mac_calls).structure()
