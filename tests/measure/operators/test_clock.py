"""The clock: shares of root operators that Python calls, measured without the profiler."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pytest_hiddencost import Profile, Sampling, profile
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.clock import (
    FEWEST_ROUNDS,
    LONGEST_CLOCKED_NS,
    Readings,
    clocked_shares,
    shares_of,
)
from pytest_hiddencost.measure.operators.folding import CallSite, Root
from pytest_hiddencost.measure.operators.tracing import root_call_sites
from tests.profiles import patient

CPU = torch.device("cpu")
IMAGE = torch.randn(1, 4, 8, 8)
SHORT = Sampling(max_time_ns=20_000_000)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.conv(x)).relu()
        return torch.cat((y, y + x), dim=1)


def shares(model: Callable[..., object], *args: Any, latency_ns: float = 1e6) -> dict[str, float]:
    """Return the shares of root operators by name."""
    call = Call(model, args, {}, CPU)
    found: dict[str, float] = {}
    for root, share in clocked_shares(call, root_call_sites(call), latency_ns).items():
        found[root.name] = found.get(root.name, 0.0) + share
    return found


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_hiddencost.measure.operators.clock.MOST_ROUNDS", FEWEST_ROUNDS)


# --- what the clock sees -----------------------------------------------------------------------


def test_every_root_operator_that_python_calls_has_a_share() -> None:
    found = shares(Net().eval(), IMAGE)
    assert set(found) == {
        "aten::conv2d",
        "aten::batch_norm",
        "aten::relu",
        "aten::cat",
        "aten::add",
    }
    assert all(share >= 0 for share in found.values())
    assert found["aten::conv2d"] > 0.0


def test_shares_are_those_of_call_sites() -> None:
    call = Call(nn.Sequential(Net(), nn.Conv2d(8, 2, 1)).eval(), (IMAGE,), {}, CPU)
    roots = clocked_shares(call, root_call_sites(call), 1e6)
    sites = [root.call_site for root in roots if root.name == "aten::conv2d"]
    assert [site.module for site in sites if site is not None] == ["0.conv", "1"]


def test_operators_of_a_script_are_not_seen() -> None:
    assert shares(torch.jit.trace(Net().eval(), IMAGE), IMAGE) == {}


def test_operators_beside_a_script_are_seen() -> None:
    script = torch.jit.trace(Net().eval(), IMAGE)
    assert set(shares(lambda x: script(x).sigmoid(), IMAGE)) == {"aten::sigmoid"}


def test_operators_that_one_function_runs_together_are_not_seen() -> None:
    found = shares(lambda x: x[:, 1:, 2].neg(), IMAGE)
    assert set(found) == {"aten::neg"}


def test_an_operator_that_also_runs_unseen_at_its_call_site_has_no_share() -> None:
    # An index with a number as well runs two operators.
    def sliced(x: torch.Tensor) -> list[torch.Tensor]:
        some = (slice(None), slice(1, 3))
        return [x[index] for index in (some, (*some, 2))]

    assert "aten::slice" not in shares(sliced, IMAGE)


def test_fast_paths_are_seen_as_one_operator() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    assert set(shares(layer, torch.ones(2, 5, 16))) == {"aten::_transformer_encoder_layer_fwd"}


def test_a_call_that_varies_has_no_shares() -> None:
    twice = itertools.cycle([True, False])
    assert shares(lambda x: x.relu().relu() if next(twice) else x.relu(), IMAGE) == {}


@pytest.mark.parametrize(
    ("model", "latency_ns"),
    [(torch.compile(Net(), backend="eager"), 1e6), (Net(), LONGEST_CLOCKED_NS + 1)],
)
def test_compiled_models_and_long_calls_are_not_called(model: nn.Module, latency_ns: float) -> None:
    call = Call(model, (IMAGE,), {}, CPU)
    sites = [("aten::relu", CallSite("", ""))]
    assert clocked_shares(call, sites, latency_ns) == {}
    assert call.tally.calls == 0


def test_every_call_is_counted() -> None:
    calls = 0

    def counted(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x.relu()

    call = Call(counted, (IMAGE,), {}, CPU)
    assert clocked_shares(call, root_call_sites(call), 1e6)
    assert call.tally.calls == calls


# --- arithmetic --------------------------------------------------------------------------------

A, B = Root("aten::a", None), Root("aten::b", None)


def readings(
    *times_ns: int, gap_ns: int = 50, own_ns: int = 10, around_ns: int = 20, speed: int = 1
) -> Readings:
    """Return the readings of a call whose functions take these times, with gaps between them."""
    now, starts, ends = 0, [], []
    for time_ns in times_ns:
        starts.append(now + gap_ns + around_ns)
        ends.append(starts[-1] + time_ns + own_ns)
        now = ends[-1]
    wholes = [time_ns + own_ns + around_ns for time_ns in times_ns]
    scaled = [[speed * ns for ns in column] for column in (starts, ends, wholes)]
    return Readings(0, speed * (now + gap_ns), *scaled)


def shares_by(roots: Sequence[Root | None], *clocked: Readings, **own: int) -> dict[Root, float]:
    nothing = readings(*[0] * len(roots), **own)
    return shares_of(roots, clocked, [nothing])


@pytest.mark.parametrize("own_ns", [0, 10, 500])
@pytest.mark.parametrize("around_ns", [0, 20, 5000])
def test_the_clocks_own_time_is_taken_out(own_ns: int, around_ns: int) -> None:
    # The call takes 1,000 ns: 600 in a, 250 in b, and three gaps of 50.
    own = {"own_ns": own_ns, "around_ns": around_ns}
    found = shares_by([A, B], readings(600, 250, **own), **own)
    whole_ns = 1000 + 2 * own_ns  # a part of the clock's own time is a part of each reading
    assert found == pytest.approx({A: 600 / whole_ns, B: 250 / whole_ns})


def test_calls_of_a_root_operator_are_added_up() -> None:
    found = shares_by([A, B, A], readings(400, 200, 200, own_ns=0), own_ns=0)
    assert found == pytest.approx({A: 0.6, B: 0.2})


def test_functions_that_run_no_operator_are_outside() -> None:
    found = shares_by([None, B], readings(600, 250, own_ns=0), own_ns=0)
    assert found == pytest.approx({B: 0.25})


@pytest.mark.parametrize("paused", [0, 1])
def test_a_pause_in_one_call_changes_nothing(paused: int) -> None:
    calm = readings(600, 250)
    times = [600, 250]
    times[paused] += 10**7
    long_gap = calm._replace(end_ns=calm.end_ns + 10**7)
    found = shares_by([A, B], calm, readings(*times), calm, long_gap, calm)
    assert found == shares_by([A, B], calm)


def test_an_operator_shorter_than_the_clocks_own_time_takes_none() -> None:
    slower = readings(0, 250, own_ns=5)
    assert shares_by([A, B], slower, own_ns=9)[A] == 0.0


@patient
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=9), st.integers(1, 50))
def test_the_speed_of_the_device_changes_no_share(times: list[int], speed: int) -> None:
    roots = [A, B, None] * 3
    slow, fast = (
        shares_of(
            roots[: len(times)],
            [readings(*times, speed=s)],
            [readings(*[0] * len(times), speed=s)],
        )
        for s in (speed, 1)
    )
    assert slow == pytest.approx(fast)


# --- in a profile ------------------------------------------------------------------------------


def measured(model: Callable[..., object], *args: object) -> Profile:
    return profile(model, *args, sampling=SHORT)


def test_a_profile_marks_the_composites_that_the_clock_timed() -> None:
    script = torch.jit.trace(Net().eval(), IMAGE)
    found = measured(lambda x: script(x).sigmoid(), IMAGE)
    assert {c.name for c in found.composites if c.clocked} == {"aten::sigmoid"}
    assert all((c.event_cost_ns is None) != c.clocked for c in found.composites)


def test_operators_and_the_time_outside_are_the_whole_latency() -> None:
    found = measured(Net().eval(), IMAGE)
    explained_ns = sum(operator.self_ns for operator in found.operators) + found.outside_ns
    assert explained_ns == pytest.approx(found.latency.median_ns, rel=0.03)
    assert found.outside_ns > 0


def test_a_model_that_cannot_run_with_the_clock_is_measured_and_told() -> None:
    relu = torch.Tensor.relu

    def refuses(x: torch.Tensor) -> torch.Tensor:
        if torch.Tensor.relu is not relu:
            raise RuntimeError("torch was changed")
        return x.relu()

    found = measured(refuses, IMAGE)
    assert not any(composite.clocked for composite in found.composites)
    assert any("profiler alone: RuntimeError: torch was changed" in note for note in found.notes)
