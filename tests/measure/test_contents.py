"""Caches, counters and lists are as they were before a measurement."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_hiddencost import Sampling, profile
from pytest_hiddencost.measure.contents import MOST_SEARCHED

BRIEF = Sampling(max_time_ns=1_000_000)
X = torch.ones(1, 8)


def measured(model: Callable[..., object], *args: object) -> tuple[str, ...]:
    """The notes."""
    return profile(model, *args, sampling=BRIEF).notes


class Cache:
    """Keys that grow, their number, and a log."""

    def __init__(self) -> None:
        self.keys, self.length, self.log = torch.zeros(2, 8), 2, [0]

    def append(self, key: torch.Tensor) -> torch.Tensor:
        self.keys = torch.cat([self.keys, key])
        self.length += 1
        self.log.append(self.length)
        return self.keys


class Fixed:
    """A cache that is written in place, at a position that moves."""

    __slots__ = ("keys", "position")

    def __init__(self) -> None:
        self.keys, self.position = torch.zeros(10_000, 8), 0

    def append(self, key: torch.Tensor) -> torch.Tensor:
        self.keys[self.position] = key
        self.position += 1
        return self.keys[: self.position]


@dataclass
class Layers:
    caches: list[Cache] = field(default_factory=lambda: [Cache(), Cache()])

    def append(self, key: torch.Tensor) -> torch.Tensor:
        for cache in self.caches:
            key = cache.append(key)
        return key


class Step(nn.Module):
    """Appends to a cache among its arguments, or to its own."""

    def __init__(self, past: Any = None) -> None:
        super().__init__()
        self.key, self.past = nn.Linear(8, 8), past

    def forward(self, token: torch.Tensor, past: Any = None) -> torch.Tensor:
        keys: torch.Tensor = (self.past if past is None else past).append(self.key(token))
        return token @ keys.t()


def as_new(cache: Any) -> bool:
    if isinstance(cache, Layers):
        return len(cache.caches) == 2 and all(map(as_new, cache.caches))
    if isinstance(cache, Fixed):
        return cache.position == 0 and not cache.keys.any()
    return bool(cache.keys.shape == (2, 8)) and cache.length == 2 and cache.log == [0]


CACHES = (Cache, Fixed, Layers)


@pytest.mark.parametrize("kind", CACHES)
def test_a_cache_among_the_arguments_is_put_back(kind: type) -> None:
    cache = kind()
    measured(Step().eval(), X, cache)
    assert as_new(cache)


@pytest.mark.parametrize("kind", CACHES)
def test_a_cache_that_a_model_keeps_is_put_back(kind: type) -> None:
    model = Step(kind()).eval()
    measured(nn.Sequential(model), X)
    assert as_new(model.past)


def test_the_cache_of_an_object_with_a_bound_method_is_put_back() -> None:
    class Generator:
        def __init__(self) -> None:
            self.cache, self.layer = Cache(), nn.Linear(8, 8)

        def step(self, token: torch.Tensor) -> torch.Tensor:
            return self.cache.append(self.layer(token))

    generator = Generator()
    measured(generator.step, X)
    measured(partial(generator.step), X)
    assert as_new(generator.cache)


def test_containers_among_the_arguments_are_put_back() -> None:
    def model(x: torch.Tensor, held: Any) -> torch.Tensor:
        values, table, ordered, ring, names, array = held
        values.append(x)
        table["new"] = x
        ordered.move_to_end("a")
        ring.append(x)
        names.discard("a")
        array += 1
        return x + 1

    ordered = OrderedDict(a=1, b=2)
    held = ([1], {"a": X}, ordered, deque([1, 2], maxlen=2), {"a"}, np.zeros(3))
    measured(model, X, held)
    values, table, _, ring, names, array = held
    assert (values, table, list(ordered), list(ring), names) == (
        [1],
        {"a": X},
        ["a", "b"],
        [1, 2],
        {"a"},
    )
    assert not array.any()


def test_attributes_that_a_model_adds_or_deletes_are_as_before() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.table = 0, {"a": 1}
            self.first: Any = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.last = x
            self.table.clear()
            self.__dict__.pop("first", None)
            return x + 1

    model = Model().eval()
    measured(model, X)
    assert (model.calls, model.first, model.table) == (0, True, {"a": 1})
    assert not hasattr(model, "last")


def test_an_array_is_put_back() -> None:
    def model(x: torch.Tensor, array: Any) -> torch.Tensor:
        array += 1
        return x + 1

    array = np.zeros(3)
    measured(model, X, array)
    assert not array.any()


def test_the_position_in_a_buffer_is_put_back_with_it() -> None:
    class Model(nn.Module):
        keys: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("keys", torch.zeros(10_000, 8))
            self.position = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.keys[self.position] = x
            self.position += 1
            return x + 1

    model = Model().eval()
    measured(model, X)
    assert model.position == 0
    assert not model.keys.any()


def test_objects_that_only_count_and_note_numbers_are_left_alone() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls, self.lengths, self.by_name = 0, [0], {"a": 0}

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.lengths.append(len(x))
            self.by_name[str(self.calls)] = self.calls
            return x + 1

    model = Counting().eval()
    measured(model, X)
    assert model.calls == len(model.lengths) - 1 == len(model.by_name) - 1 > 10


def test_a_module_that_becomes_another_one_keeps_what_it_made() -> None:
    model = nn.Sequential(nn.LazyLinear(3)).eval()
    measured(model, X)
    assert model(X).shape == (1, 3)


def test_objects_with_state_elsewhere_are_left_alone() -> None:
    class Threaded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = ThreadPoolExecutor(1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool.submit(torch.neg, x).result()

    model = Threaded().eval()
    measured(model, X)
    assert len(model.pool._threads) == 1
    model.pool.shutdown()


def test_what_a_function_appends_to_its_own_list_stays() -> None:
    seen: list[int] = []

    def model(x: torch.Tensor) -> torch.Tensor:
        seen.append(1)
        return x + 1

    measured(model, X)
    assert seen


def test_more_objects_than_are_searched_are_told() -> None:
    few, many = [(number,) for number in range(10)], [(number,) for number in range(MOST_SEARCHED)]
    numbers = list(range(MOST_SEARCHED + 1))
    assert not measured(lambda x, _: x + 1, X, few)
    assert not measured(lambda x, _: x + 1, X, [numbers, dict.fromkeys(numbers, "word")])
    (note,) = measured(lambda x, _: x + 1, X, many)
    assert note.startswith("the call holds more than 10000 objects")
