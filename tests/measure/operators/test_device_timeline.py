"""The timeline of an accelerator: how long it was busy, and how long it waited for the host."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.measure.operators.device_timeline import DeviceTimeline, device_timeline
from tests.measure.operators.raw_events import CUDA, Raw


def launched(
    *kernels: tuple[int, int, int], launch: str = "cudaLaunchKernel", first: int = 1
) -> list[Raw]:
    """Return events of kernels, given by the end of their launch, their start and their end."""
    found = []
    for number, (launched_at, start, end) in enumerate(kernels, first):
        found.append(Raw(launch, launched_at - 2, 2, correlation=number))
        found.append(Raw(f"k{number}", start, end - start, kind=CUDA, correlation=number))
    return found


def timeline(raw: Sequence[Raw], start: int = 0, end: int = 1_000) -> DeviceTimeline | None:
    return device_timeline(raw, start, end)


def test_the_device_waits_until_the_host_has_launched() -> None:
    # Idle until 10, launched at 8; idle from 20 to 50, launched at 47.
    raw = launched((8, 10, 20), (47, 50, 60))
    assert timeline(raw) == DeviceTimeline(busy_ns=20, waiting_ns=8 + 27)


def test_pauses_between_launched_kernels_are_not_the_hosts() -> None:
    raw = launched((3, 5, 20), (6, 22, 40), (9, 43, 60))
    assert timeline(raw) == DeviceTimeline(busy_ns=15 + 18 + 17, waiting_ns=3)


def test_a_kernel_that_starts_before_its_launch_returns_ends_the_wait() -> None:
    assert timeline(launched((30, 25, 40))) == DeviceTimeline(busy_ns=15, waiting_ns=25)


def test_the_device_is_busy_while_any_stream_is() -> None:
    # The second stream covers the pause of the first one; both are idle from 70 to 90.
    raw = launched((4, 5, 30), (8, 10, 70), (55, 60, 65), (88, 90, 95))
    assert timeline(raw) == DeviceTimeline(busy_ns=65 + 5, waiting_ns=4 + 18)


def test_one_launch_of_a_captured_graph_lets_its_kernels_wait_for_nobody() -> None:
    raw = [Raw("cudaGraphLaunch", 30, 10, correlation=5)]
    raw += [Raw(f"k{start}", start, 10, kind=CUDA, correlation=5) for start in (50, 65, 80, 200)]
    assert timeline(raw) == DeviceTimeline(busy_ns=40, waiting_ns=40)


def test_a_call_without_kernels_keeps_no_device_waiting() -> None:
    assert timeline([Raw("aten::view", 0, 50, correlation=1)]) == DeviceTimeline(0, 0)


def test_work_of_other_calls_does_not_count() -> None:
    before = launched((80, 82, 95))
    raw = [*before, *launched((105, 110, 120), first=2), *launched((205, 210, 220), first=3)]
    assert timeline(raw, 100, 200) == DeviceTimeline(busy_ns=10, waiting_ns=5)


def test_annotations_on_the_device_are_no_work() -> None:
    block = Raw("my block", 0, 900, kind=CUDA, correlation=1, annotation=True)
    assert timeline([block, *launched((8, 10, 20))]) == DeviceTimeline(10, 8)


def test_without_the_launch_of_a_kernel_nothing_is_known() -> None:
    lost = Raw("k", 50, 10, kind=CUDA, correlation=99)
    assert timeline([*launched((8, 10, 20)), lost]) is None


_kernels = st.lists(
    st.tuples(st.integers(2, 900), st.integers(0, 900), st.integers(1, 99)), max_size=8
)


@given(kernels=_kernels, rng=st.randoms(use_true_random=False))
def test_busy_and_waiting_are_those_of_every_instant(
    kernels: list[tuple[int, int, int]], rng: random.Random
) -> None:
    spans = [(launch, start, start + length) for launch, start, length in kernels]
    raw = launched(*spans)
    rng.shuffle(raw)
    busy = {t for _, start, end in spans for t in range(start, end)}
    found = timeline(raw)
    assert found is not None
    assert found.busy_ns == len(busy)
    last = max((end for *_, end in spans), default=0)
    assert 0 <= found.waiting_ns <= last - len(busy)
    all_late = [(end, start, end) for _, start, end in spans]  # the host launches when it must
    waited = timeline(launched(*all_late))
    assert waited is not None
    assert waited.waiting_ns + waited.busy_ns == last
