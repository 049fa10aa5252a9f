"""Profiles that a measurement could give, in all their variety, and markers read back."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from pytest_hiddencost.core.checks import PASS
from pytest_hiddencost.core.records import (
    GENERATED,
    LATENCY,
    CallSiteCost,
    DeviceHealth,
    MacKindCost,
    OperatorCost,
    Profile,
)
from pytest_hiddencost.judge.budgets import Budget, check
from pytest_hiddencost.run.markers import budget_from_marker
from pytest_hiddencost.suggest.by_function import SuggestedMarker
from pytest_hiddencost.suggest.marker_text import marker_text
from tests.profiles import operator, profile_of

NAMES = (
    "aten::mkldnn_convolution", "aten::addmm", "aten::native_batch_norm", "aten::cat",
    "aten::copy_", "aten::_convolution", "aten::relu", "aten::view", "aten::empty",
    "mylib::fused", "mylib::other[1]", "detach", "aten::mean", "my op",
)  # fmt: skip
CONFIDENCES = (0.9, 0.95, 0.99, 0.999)
VARYING = ("macs", "calls", "activation_memory", "allocated_bytes", LATENCY)

Budgets = list[Budget]


def read_back(text: str) -> Budget:
    """The budget of a marker's text, by the parser that a run uses."""

    def latency_budget(*args: Any, **kwargs: Any) -> Budget:
        return budget_from_marker(args, kwargs)

    mark = SimpleNamespace(latency_budget=latency_budget)
    found: Budget = eval(text, {"pytest": SimpleNamespace(mark=mark)})
    return found


def holds(marker: SuggestedMarker, profiles: Sequence[Profile]) -> bool:
    """Whether the marker's text, read back, is a pass on all of these profiles."""
    budget = read_back(marker_text(marker))
    assert budget.limits
    assert budget.limits == tuple(suggested.limit for suggested in marker.limits)
    verdicts = [verdict.verdict for profile in profiles for verdict in check(profile, budget)]
    return set(verdicts) == {PASS}


@st.composite
def operators(draw: st.DrawFn, windows: int) -> list[OperatorCost]:
    """Operators of one call, each with its own spread and uncertainty."""
    found = []
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=6, unique=True)):
        calls = draw(st.integers(1, 300))
        self_ns = draw(st.floats(0.0, 1e7))
        mac = name in NAMES[:2]
        found.append(
            operator(
                name,
                self_ns,
                calls,
                macs=draw(st.integers(0, 10**10)) if mac else 0,
                mac_share=draw(st.floats(0.0, 1.0)) if name == "aten::_convolution" else None,
                spread=draw(st.floats(0.0, 0.9)),
                windows=windows,
                calls_range=draw(st.none() | st.just((calls - 1, calls + 2))),
                uncertainty_ns=draw(st.sampled_from([0.0, 50.0, 1e4, 1e6])),
                below_resolution=draw(st.booleans()),
                call_sites=[CallSiteCost("block.1", "model.py:12", calls, self_ns)],
            )
        )
    return found


@st.composite
def measured_profiles(draw: st.DrawFn) -> Profile:
    """Profiles that add up, of fit and unfit devices, of calls that vary, with work unseen."""
    found = draw(operators(draw(st.integers(1, 20))))
    least = round(sum(cost.self_ns for cost in found)) + 1
    samples = draw(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
    repeated = draw(st.sampled_from([1, 1, 3, 12]))
    compiled = [MacKindCost(GENERATED, 1, draw(st.integers(1, 10**9)), None)]
    unfit = DeviceHealth(False, ("throttled",), remedies=("cool the device",))
    return profile_of(
        *found,
        samples_ns=[least + sample for sample in samples * repeated],
        confidence=draw(st.sampled_from(CONFIDENCES)),
        label=draw(st.sampled_from(["", "b1"])),
        activation_peak_bytes=draw(st.none() | st.integers(0, 2**40)),
        health=unfit if draw(st.integers(0, 5)) == 0 else DeviceHealth(fit=True),
        mac_kinds=tuple(compiled) if draw(st.integers(0, 5)) == 0 else (),
        varies=tuple(draw(st.lists(st.sampled_from(VARYING), max_size=1))),
        unseen_ns=draw(st.sampled_from([0, 0, 0, 5_000])),
        uncosted=tuple(draw(st.sampled_from([(), (), (), ("mylib::fused",), ("aten::cat",)]))),
    )
