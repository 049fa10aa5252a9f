"""Operators of an accelerator: a tree from raw events, with the times of the kernels."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.measure.operators.device_kernels import DeviceNode, device_nodes
from pytest_hiddencost.measure.operators.folding import Node, fold
from tests.measure.operators.raw_events import CUDA, Raw

Shape = tuple[str, int, "list[Shape]"]  # name, ns of kernels, and the operators inside


def shape(nodes: Sequence[Node]) -> list[Shape]:
    return [(node.name, node.duration_time_ns, shape(node.children)) for node in nodes]


def test_an_operator_and_those_around_it_take_the_time_of_the_kernels_it_launched() -> None:
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


def test_kernels_count_for_the_operator_that_launched_them_whenever_they_ran() -> None:
    raw = [
        Raw("aten::relu", 10, 5, correlation=1),
        Raw("aten::relu", 110, 5, correlation=2),
        Raw("late", 500, 70, kind=CUDA, linked=2),
        Raw("kernel of the call before", 120, 9, kind=CUDA, linked=1),
    ]
    assert shape(device_nodes(raw, 100, 200)) == [("aten::relu", 70, [])]


def test_kernels_of_a_captured_graph_belong_to_its_launch() -> None:
    raw = [
        Raw("aten::copy_", 0, 20, correlation=1),
        Raw("cudaMemcpyAsync", 5, 5, correlation=61, linked=1),
        Raw("Memcpy HtoD", 12, 8, kind=CUDA, correlation=61, linked=1),
        Raw("my block", 25, 60, correlation=2),
        Raw("cudaGraphLaunch", 30, 10, correlation=62, linked=2),
        Raw("gemm", 50, 300, kind=CUDA, correlation=62, linked=2),
        Raw("relu", 351, 40, kind=CUDA, correlation=62, linked=2),
        Raw("my block", 50, 341, kind=CUDA, correlation=2, annotation=True),
    ]
    assert shape(device_nodes(raw, 0, 100)) == [
        ("aten::copy_", 8, []), ("runtime::cudaGraphLaunch", 340, []),
    ]  # fmt: skip


def test_a_call_of_the_runtime_whose_number_is_that_of_an_operator_is_not_taken_for_it() -> None:
    raw = [
        Raw("aten::relu", 0, 20, correlation=7),
        Raw("cudaLaunchKernel", 5, 5, correlation=7, linked=7),
        Raw("elementwise", 12, 8, kind=CUDA, correlation=7, linked=7),
    ]
    assert shape(device_nodes(raw, 0, 100)) == [("aten::relu", 8, [])]


def test_only_operators_that_start_in_the_call_are_read() -> None:
    raw = [Raw(f"aten::at_{start}", start, 1) for start in (99, 100, 150, 199, 200)]
    assert shape(device_nodes(raw, 100, 200)) == [
        ("aten::at_100", 0, []), ("aten::at_150", 0, []), ("aten::at_199", 0, []),
    ]  # fmt: skip


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


def test_an_operator_that_starts_when_another_ends_is_not_inside_it() -> None:
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
    """An operator with the time of its own kernels, and the operators inside."""

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
    """Return the operators as events of torch's profiler, each with its kernel if it has one."""
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
    """Return the expected nodes."""
    found: list[Shape] = []
    for tree in trees:
        inside = charged(tree.inside)
        found.append((tree.name, tree.kernels_ns + sum(ns for _, ns, _ in inside), inside))
    return found


@settings(deadline=None)
@given(trees=st.lists(launches, max_size=4), rng=st.randoms(use_true_random=False))
def test_the_tree_is_found_in_any_order_of_events(trees: list[Launch], rng: random.Random) -> None:
    raw = recorded(trees)
    rng.shuffle(raw)
    nodes = device_nodes(raw, 0, 10_000)
    assert shape(nodes) == charged(trees)
    window = fold(nodes, [], 10_000, DEFAULT)
    assert sum(window.raw_ns) == sum(event.duration for event in raw if event.kind == CUDA)
    assert all(self_ns >= 0 for self_ns in window.raw_ns)


def test_nodes_of_an_accelerator_can_be_folded() -> None:
    inner = DeviceNode("aten::b", 2, 5, 30)
    window = fold([DeviceNode("aten::a", 0, 9, 40, [inner])], [], 100, DEFAULT)
    assert window.operators() == {"aten::a": [1, 10, 1, 0], "aten::b": [1, 30, 0, 0]}
