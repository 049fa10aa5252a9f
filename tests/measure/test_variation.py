"""Calls that are not the same every time are noticed, and told."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.records import LATENCY, Profile, Sampling
from pytest_hiddencost.measure import profile
from pytest_hiddencost.measure.macs.counting import MacCount
from pytest_hiddencost.measure.variation import REMEDY, variation_of

BRIEF = Sampling(max_time_ns=1_000_000, min_samples=5)
EVERY = ("calls", "macs", "activation_memory", "allocated_bytes", LATENCY)
X = torch.ones(1, 8)


def measured(model: Callable[..., object], *arguments: object) -> Profile:
    return profile(model, *arguments, sampling=BRIEF)


class Decoder(nn.Module):
    """Appends to a cache that is an attribute of the model."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = torch.ones(2, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.keys = torch.cat([self.keys, x])
        return torch.softmax(x @ self.keys.t(), -1) @ self.keys


def test_a_cache_of_the_model_that_grows_is_told_with_the_way_out() -> None:
    result = measured(Decoder().eval(), X)
    assert result.varies == EVERY
    kept, note = result.notes
    assert kept.startswith("every call keeps ")
    assert note.startswith("the call is not the same every time: its MACs went from 64 MAC to ")
    assert note.endswith(REMEDY)


def test_a_cache_among_the_arguments_that_grows_without_macs_is_told() -> None:
    def append(x: torch.Tensor, cache: list[torch.Tensor]) -> torch.Tensor:
        cache.append(x)
        return torch.cat(cache)

    assert measured(append, X, []).varies == EVERY


def test_an_iterator_in_a_closure_that_the_first_call_uses_up_is_told() -> None:
    frames = iter(torch.ones(3, 1, 8))
    layer = nn.Linear(8, 8)
    result = measured(lambda: [layer(frame) for frame in frames])
    assert result.varies == EVERY
    assert "the first call returned" in result.notes[-1]


def test_a_queue_that_empties_is_told() -> None:
    queue, layer = [X] * 4, nn.Linear(8, 8)

    def model(x: torch.Tensor) -> torch.Tensor:
        return layer(queue.pop()) if queue else x

    result = measured(model, X)
    assert result.varies == EVERY
    assert "its MACs went from 64 MAC to 0 MAC" in result.notes[-1]


def test_random_depth_leaves_its_time_to_be_judged() -> None:
    depths, layer = itertools.cycle([1, 3, 2, 5, 2, 4, 1]), nn.Linear(8, 8)

    def model(x: torch.Tensor) -> torch.Tensor:
        for _ in range(next(depths)):
            x = layer(x)
        return x

    result = measured(model, X)
    assert {"macs", "allocated_bytes", "activation_memory"} <= set(result.varies)


def test_shapes_that_differ_with_the_same_operators_are_told() -> None:
    sizes = itertools.cycle([4, 2, 3, 5])
    layer = nn.Linear(8, 8)
    result = measured(lambda x: layer(x.expand(next(sizes), 8)).sum(), X)
    assert not result.structure_varies
    assert "macs" in result.varies


def test_dropout_and_random_numbers_are_the_same_work_every_time() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout())
    result = measured(lambda x: model(x) * random.random(), X)
    assert result.varies == ()
    assert not any("every time" in note for note in result.notes)


def test_what_only_the_first_calls_prepare_is_no_variation() -> None:
    calls = itertools.count()

    def model(x: torch.Tensor) -> torch.Tensor:
        return (x.clone() if next(calls) < 8 else x).relu()

    assert measured(model, X).varies == ()


def rising(steps: int) -> Iterator[int]:
    return itertools.chain.from_iterable([1_000 + 100 * step] * 3 for step in range(steps))


@pytest.mark.parametrize(("steps", "told"), [(8, True), (2, False)])
def test_a_latency_that_only_rises_is_told(*, steps: int, told: bool) -> None:
    found = variation_of(
        [], [], ["", ""], [*rising(steps)] * (8 // steps), calls_vary=False, mac_calls_vary=False
    )
    assert bool(found.trend) == told
    if told:
        assert found.trend == "its latency rose from 1 us to 1.7 us while it was measured"


def test_macs_of_generated_kernels_that_vary_are_told() -> None:
    few, many = (MacCount((), frozenset(), generated_macs=macs) for macs in (40, 80))
    found = variation_of([few, many, few], [], ["", ""], [], calls_vary=False, mac_calls_vary=False)
    assert "macs" in found.varies
    assert found.note.startswith(
        "the call is not the same every time: its MACs differ from call to call, from 40 MAC to 80"
    )


def test_the_macs_of_a_cache_that_grows_are_those_of_the_first_call() -> None:
    model = Decoder().eval()
    result = measured(model, X)
    assert result.macs == sum(kind.macs for kind in result.mac_kinds) == 2 * 3 * 8
    assert model.keys.shape == (2, 8)
