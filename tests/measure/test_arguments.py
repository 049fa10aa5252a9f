"""Arguments made anew for every call, and arguments and models that serve only once."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.measure import Call, profile
from pytest_hiddencost.measure.injected import COPIES, SLOW, with_injection
from pytest_hiddencost.measure.latency import sampler
from pytest_hiddencost.measure.latency.sampler import LatencySampler

BRIEF = Sampling(max_time_ns=1_000_000, min_samples=5)
DIM, PAST = 8, 4


class Cache:
    """Keys of earlier positions; every call appends one."""

    def __init__(self) -> None:
        self.keys = torch.zeros(PAST, DIM)


class Step(nn.Module):
    """Multiplies one token with the cache, which it makes longer by one."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def forward(self, token: torch.Tensor, cache: Cache) -> torch.Tensor:
        cache.keys = torch.cat([cache.keys, token])
        self.lengths.append(len(cache.keys))
        return token @ cache.keys.t()


def measured(model: Callable[..., object], setup: Callable[[], object]) -> Profile:
    return profile(model, setup=setup, sampling=BRIEF)


def test_every_call_of_every_pass_gets_arguments_of_its_own() -> None:
    model, made = Step(), itertools.count()

    def setup() -> tuple[object, ...]:
        next(made)
        torch.randn(3, 3) @ torch.randn(3, 3)  # neither counted nor profiled
        return torch.ones(1, DIM), Cache()

    result = measured(model, setup)
    assert set(model.lengths) == {PAST + 1}
    assert next(made) == len(model.lengths) + 2  # one finds the device, one is for thop's copy
    assert result.macs == DIM * (PAST + 1)
    names = {cost.name: cost.calls for cost in result.operators}
    assert names["aten::cat"] == names["aten::mm"] == 1
    assert "aten::randn" not in names
    keys = 4 * DIM * (PAST + 1)
    assert result.activation_peak_bytes == keys + 4 * (PAST + 1)
    assert not result.structure_varies


def test_an_iterator_that_the_setup_makes_is_walked_through_in_every_call() -> None:
    layer = nn.Linear(DIM, DIM)

    def video(frames: Iterator[torch.Tensor]) -> list[object]:
        return [layer(frame) for frame in frames]

    result = measured(video, lambda: (iter(torch.ones(3, 1, DIM)),))
    assert result.macs == 3 * DIM * DIM


def test_the_setup_may_bring_the_model_back_to_its_start() -> None:
    lengths: list[int] = []

    class Remembers(nn.Module):
        past: torch.Tensor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.past = torch.cat([self.past, x])
            lengths.append(len(self.past))
            return self.past.sum()

    model = Remembers()

    def setup() -> tuple[torch.Tensor]:
        model.past = torch.zeros(2, DIM)
        return (torch.ones(1, DIM),)

    measured(model, setup)
    assert set(lengths) == {3}


def test_a_setup_returns_arguments_or_also_keyword_arguments() -> None:
    x = torch.ones(2)
    seen: list[object] = []

    def model(*args: object, **kwargs: object) -> torch.Tensor:
        seen.append((args, kwargs))
        return x.relu()

    returned: tuple[object, ...]
    for returned in ((), (1, {"a": 2}), ((1, 2), {"alpha": 3})):
        measured(model, partial(tuple, returned))
        seen.append("next")
    calls = [before for before, after in itertools.pairwise(seen) if after == "next"]
    assert calls == [((), {}), ((1, {"a": 2}), {}), ((1, 2), {"alpha": 3})]


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (torch.ones(1), "it returned Tensor"),
        ([torch.ones(1)], "it returned list"),
        (None, "it returned NoneType"),
        (((1,), {2: 3}), "a key of its kwargs is not text"),
    ],
)
def test_a_setup_that_returns_anything_else_is_refused(returned: object, found: str) -> None:
    with pytest.raises(MeasurementError, match=found) as error:
        measured(nn.ReLU(), lambda: returned)
    assert "must return a tuple of arguments, (x,) for one, or (args, kwargs)" in str(error.value)


def test_arguments_beside_a_setup_are_refused() -> None:
    with pytest.raises(MeasurementError, match="return all of them from setup"):
        profile(nn.ReLU(), torch.ones(1), setup=lambda: (torch.ones(1),))
    not_callable: Any = (torch.ones(1),)
    with pytest.raises(MeasurementError, match="cannot be called; setup"):
        profile(nn.ReLU(), setup=not_callable)


def test_arguments_of_a_setup_are_no_inference_tensors() -> None:
    grads = []

    def setup() -> tuple[torch.Tensor]:
        x = torch.ones(2, requires_grad=True)
        grads.append((x * 2).requires_grad and not x.is_inference())
        return (x,)

    measured(nn.ReLU(), setup)
    assert set(grads) == {True}


def test_setup_is_not_timed_but_uses_the_time_of_a_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0]
    monkeypatch.setattr(sampler, "perf_counter_ns", lambda: now[0])
    monkeypatch.setattr("pytest_hiddencost.measure.arguments.perf_counter_ns", lambda: now[0])

    def setup() -> tuple[torch.Tensor]:
        now[0] += 9_000
        return (torch.ones(1),)

    def model(x: torch.Tensor) -> torch.Tensor:
        now[0] += 1_000
        return x

    call = Call(model, (), {}, torch.device("cpu"), setup=setup)
    taken = LatencySampler(call, Sampling(max_time_ns=1_000_000, min_samples=5))
    assert taken.turn(30_000, refill=1) == (1_000,) * 4  # three of ten microseconds each, and one
    assert taken.spent_ns == 4 * 9_000 + 3 * 1_000
    taken.sample()
    assert set(taken.result().samples_ns) == {1_000}
    assert taken.spent_ns <= 1_010_000


@pytest.mark.parametrize("injection", [COPIES, SLOW])
def test_an_injected_regression_keeps_the_setup(injection: str) -> None:
    call = Call(nn.ReLU(), (), {}, torch.device("cpu"), setup=lambda: (torch.ones(3),))
    assert torch.equal(with_injection(call, injection).run_synchronized(), torch.ones(3))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "frames",
    [(x for x in torch.ones(3, 1, DIM)), iter([1]), map(abs, [1]), zip([1], [2], strict=True)],
)
def test_an_iterator_among_the_arguments_is_refused(frames: object) -> None:
    for arguments in ((frames,), ([{"frames": frames}],)):
        with pytest.raises(MeasurementError, match=r"setup=.*or pass a list"):
            profile(lambda frames: list(frames), *arguments)


def test_an_iterator_without_an_end_serves_every_call() -> None:
    result = profile(lambda x: next(x).relu(), itertools.cycle([torch.ones(2)]), sampling=BRIEF)
    assert result.operator("aten::relu").calls == 1


class AsyncForward(nn.Module):
    async def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class AsyncCall:
    async def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x


async def async_generator(x: torch.Tensor) -> AsyncIterator[torch.Tensor]:
    yield x


async def awaited(x: torch.Tensor) -> torch.Tensor:
    return x


def lazy(x: torch.Tensor) -> object:
    return map(torch.relu, x)


@pytest.mark.parametrize(
    "model",
    [
        AsyncForward(),
        AsyncCall(),
        async_generator,
        lazy,
        lambda x: awaited(x),
        lambda x: [x, (frame for frame in x)],
    ],
)
def test_a_model_that_only_promises_its_work_is_refused(model: Callable[..., object]) -> None:
    with pytest.raises(MeasurementError, match=r"runs no operator; pass a function that runs the"):
        profile(model, torch.ones(2), sampling=BRIEF)
