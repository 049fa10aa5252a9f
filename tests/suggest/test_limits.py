"""Suggested limits hold today, and only decidable ones are suggested."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from pytest_hiddencost.core.checks import FAIL
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import (
    GENERATED,
    LATENCY,
    DeviceHealth,
    MacKindCost,
    Profile,
)
from pytest_hiddencost.judge.budgets import Budget, check
from pytest_hiddencost.suggest.by_function import suggestions
from pytest_hiddencost.suggest.limits import (
    LeftOut,
    SuggestedLimit,
    check_measured,
    whole_call,
)
from pytest_hiddencost.suggest.suggestion_text import suggestion_lines
from tests.profiles import (
    MS,
    S,
    any_profiles,
    network,
    operator,
    patient,
    profile_of,
    samples_around,
)
from tests.suggest.measured_profiles import holds, measured_profiles


def texts(profile: Profile) -> dict[str, str]:
    """The texts of the suggested limits on the whole call, by key."""
    found = [f for f in whole_call(profile) if isinstance(f, SuggestedLimit)]
    return {suggested.limit.check.key: suggested.text for suggested in found}


def reasons(profile: Profile) -> dict[str, str]:
    """The reasons of the limits that are left out, by key."""
    found = [f for f in whole_call(profile) if isinstance(f, LeftOut)]
    return {left.key: left.reason for left in found}


def test_a_quiet_call_gets_limits_with_two_digits_and_exact_ones() -> None:
    assert texts(network()) == {
        "p50": "11 ms",
        "p95": "12 ms",
        "non_mac": "49%",
        "macs": "30 MMAC",
        "activation_memory": "24 MiB",
    }
    assert reasons(network()) == {}


@settings(patient, max_examples=60)
@given(measured_profiles())
def test_every_suggested_limit_holds_today_and_can_be_broken(profile: Profile) -> None:
    (function,) = suggestions([profile])
    for marker in function.markers:
        assert holds(marker, [profile])  # read back by the parser of a run
        for suggested in marker.limits:
            assert suggested.limit.value <= 2.2 * suggested.measured  # a doubling, rounded up
            counted = suggested.limit.unit in ("calls", "macs", "bytes")
            tight = replace(suggested.limit, value=0.0 if counted else 1e-15)
            if suggested.measured:
                assert check(profile, Budget((tight,)))[0].verdict == FAIL


@pytest.mark.parametrize(
    ("changes", "gone", "reason"),
    [
        (
            {"health": DeviceHealth(False, ("hot",), remedies=("cool it",))},
            {"p50", "p95", "non_mac"},
            "hot; cool it",
        ),
        ({"varies": (LATENCY,)}, {"p50", "p95", "non_mac"}, "the call changes"),
        ({"varies": ("macs",)}, {"macs"}, "MACs differ from call to call"),
        ({"varies": ("activation_memory",)}, {"activation_memory"}, "differ from call to call"),
        ({"unseen_ns": 1_000}, {"non_mac", "macs", "activation_memory"}, "only a part"),
        ({"uncosted": ("aten::cat",)}, {"macs"}, "no formula for aten::cat"),
        ({"uncosted": ("mylib::fused",)}, {"macs", "non_mac"}, "no formula for mylib::fused"),
        ({"activation_peak_bytes": None}, {"activation_memory"}, "cannot be measured"),
        (
            {"mac_kinds": (MacKindCost(GENERATED, 1, 10, None),)},
            {"non_mac"},
            "generated kernels",
        ),
        ({"samples_ns": samples_around(10 * MS, 30)}, {"p95"}, "p95 has 30 samples"),
        (
            {"samples_ns": [10 * S] * 3},
            {"p50", "p95"},
            "p50 has 3 samples",
        ),
    ],
)
def test_what_cannot_be_decided_is_left_out_with_the_reason(
    changes: dict[str, Any], gone: set[str], reason: str
) -> None:
    found = reasons(network(**changes))
    assert gone <= set(found)
    assert reason in found[sorted(gone)[-1] if "samples" not in reason else reason[:3]]
    assert not gone & set(texts(network(**changes)))


def test_a_call_that_varies_too_much_gets_no_limit_that_a_doubling_would_pass() -> None:
    erratic = network(samples_ns=[8 * MS, 40 * MS] * 4)
    assert "would let a doubling pass" in reasons(erratic)["p50"]


def test_a_tail_that_the_device_makes_is_not_limited() -> None:
    samples = [*samples_around(10 * MS, 900), *samples_around(25 * MS, 100)]
    disturbed = network(samples_ns=random.Random(1).sample(samples, 1000))
    assert texts(disturbed)["p50"] == "11 ms"
    assert "would let a doubling pass" in reasons(disturbed)["p95"]


def test_a_call_without_macs_needs_no_limit_on_them() -> None:
    bare = profile_of(operator("aten::relu", 6 * MS, spread=0.05))
    assert {"macs", "non_mac"}.isdisjoint([*texts(bare), *reasons(bare)])


def test_a_share_of_nearly_everything_leaves_no_room() -> None:
    slow = profile_of(
        operator("aten::addmm", 0.02 * MS, macs=1000, spread=0.05),
        operator("aten::cat", 9 * MS, spread=0.3),
    )
    assert "non_mac" not in texts(slow) or texts(slow)["non_mac"] != "100%"


LATENCY_OF_NETWORK = network().latency


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"samples_ns": ()}, "no samples"),
        ({"median_ns": 0.0}, "no median above 0"),
        ({"confidence": 1.0}, "no confidence between 0 and 100 %"),
        ({"p95_ns": -1.0}, "times that no call takes"),
        ({"samples_ns": (10**20,)}, "times that no call takes"),
    ],
)
def test_a_latency_that_nobody_measured_is_refused(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(FormatError, match=wrong):
        check_measured(replace(network(), latency=replace(LATENCY_OF_NETWORK, **changes)))


def test_operators_that_nobody_measured_are_refused() -> None:
    ragged = profile_of(operator("aten::cat", 5), operator("aten::relu", 5, windows=3))
    with pytest.raises(FormatError, match="operators with different windows"):
        check_measured(ragged)


@settings(patient, max_examples=25)
@given(any_profiles())
def test_a_profile_of_anything_gives_suggestions_or_an_error_of_ours(profile: Profile) -> None:
    with suppress(FormatError):
        for function in suggestions([profile]):
            assert suggestion_lines(function)
