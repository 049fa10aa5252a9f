"""The sequential test: what it spends of the risk, when it stops, and how often it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pytest_hiddencost.judge.baseline import comparison as baseline
from pytest_hiddencost.judge.interleaved import comparison as interleaved
from pytest_hiddencost.judge.sequential import CHECK_SHARES, Look, SequentialTest, decide
from tests.profiles import patient

Risks = Mapping[str, float]
LOOKS = {"baseline": baseline.RELAUNCH_LOOKS, "interleaved": interleaved.pair_looks(0.99, 1)}
KEYS = ("p50", "non_mac", "aten::cat", "view")


def equally(checks: int) -> dict[str, float]:
    """Checks that share the risk of a call equally."""
    return {f"check {number}": 1.0 / checks for number in range(checks)}


class Given:
    """An experiment whose p-values at each look are given, and what it was asked for.

    ``able``: at how many looks it can take observations; ``interesting``: after how many looks it
    is still worth its time.
    """

    def __init__(self, risks: Sequence[Risks], able: int = 99, interesting: int = 99) -> None:
        self._risks = risks
        self._able = able
        self._interesting = interesting
        self.taken: list[Look] = []
        self.asked: list[str] = []

    def take(self, look: Look) -> bool:
        self.asked.append("take")
        if len(self.taken) >= self._able:
            return False
        self.taken.append(look)
        return True

    def risks(self) -> Risks:
        self.asked.append("risks")
        return self._risks[len(self.taken) - 1]

    def is_open(self, look: Look) -> bool:
        self.asked.append("is_open")
        assert look == self.taken[-1]
        return len(self.taken) < self._interesting


# --- how the risk is shared --------------------------------------------------------------------


@st.composite
def sequential_tests(draw: st.DrawFn) -> SequentialTest:
    """Tests whose looks and checks use all of the risk."""
    parts = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any))
    looks = tuple(Look(3 * (i + 1), part / sum(parts)) for i, part in enumerate(parts))
    weights = draw(st.dictionaries(st.sampled_from(KEYS), st.integers(1, 9), min_size=1))
    shares = {key: weight / sum(weights.values()) for key, weight in weights.items()}
    confidence = draw(st.floats(0.5, 0.9999))
    return SequentialTest(looks, shares, confidence, draw(st.integers(1, 1000)))


def risk_at(test: SequentialTest, look: Look, key: str) -> float:
    """The risk that a check has for itself at one look."""
    return SequentialTest((look,), test.shares, test.confidence, test.calls).last_risk(key)


@patient
@given(sequential_tests())
def test_looks_checks_and_calls_together_spend_the_risk_of_the_session(
    test: SequentialTest,
) -> None:
    spent = test.calls * math.fsum(
        risk_at(test, look, key) for look in test.looks for key in test.shares
    )
    assert spent == pytest.approx(1.0 - test.confidence)


@pytest.mark.parametrize("looks", LOOKS.values(), ids=list(LOOKS))
def test_looks_take_ever_more_observations_and_spend_the_whole_risk(looks: Sequence[Look]) -> None:
    sizes = [look.size for look in looks]
    assert sizes == sorted(set(sizes))
    assert math.fsum(look.risk_share for look in looks) == pytest.approx(1.0)
    assert all(look.risk_share >= 0.0 for look in looks)


def test_the_two_timed_checks_of_a_call_share_its_whole_risk() -> None:
    assert math.fsum(CHECK_SHARES.values()) == pytest.approx(1.0)
    assert set(CHECK_SHARES) == {"p50", "non_mac"}


def test_the_last_risk_is_that_of_one_check_at_the_last_look() -> None:
    looks = (Look(3, 0.1), Look(6, 0.3), Look(9, 0.6))
    test = SequentialTest(looks, {"p50": 0.5, "view": 0.25, "aten::cat": 0.25}, 0.99, calls=4)
    assert test.last_risk("p50") == pytest.approx(0.01 * 0.6 * 0.5 / 4)
    assert test.last_risk("view") == pytest.approx(0.01 * 0.6 * 0.25 / 4)


@patient
@given(sequential_tests(), st.floats(0.5, 0.999))
def test_a_check_alone_falls_below_its_own_risk_and_not_above(
    test: SequentialTest, factor: float
) -> None:
    look, key = test.looks[-1], min(test.shares)
    own = test.last_risk(key)
    assume(own > 0.0)
    assert test.rejected(look, {key: own * factor}) == {key}
    assert test.rejected(look, {key: own / factor}) == frozenset()


@patient
@given(sequential_tests(), st.floats(0.0, 1.0))
@example(SequentialTest((Look(3, 0.0),), {"p50": 1.0}, 0.99, calls=1), 0.0)
def test_a_look_without_a_share_of_the_risk_rejects_nothing(
    test: SequentialTest, risk: float
) -> None:
    assert test.rejected(Look(3, 0.0), dict.fromkeys(test.shares, risk)) == frozenset()


# --- many checks -------------------------------------------------------------------------------

# Sorted 0.005, 0.01, 0.03, 0.04 at 0.05: Holm compares with 0.0125, 0.0167, 0.025, 0.05.
HOLM = {"H1": 0.01, "H2": 0.04, "H3": 0.03, "H4": 0.005}


@pytest.mark.parametrize(("calls", "fallen"), [(1, {"H1", "H4"}), (2, {"H4"}), (3, set())])
def test_the_checks_of_a_call_are_corrected_by_holms_procedure(
    calls: int, fallen: set[str]
) -> None:
    test = SequentialTest((Look(3, 1.0),), dict.fromkeys(HOLM, 0.25), 0.95, calls)
    assert test.rejected(test.looks[0], HOLM) == fallen
    assert decide(test, Given([HOLM])) == fallen


def test_a_look_has_its_share_of_the_risk_for_holms_procedure() -> None:
    looks = (Look(3, 0.5), Look(6, 0.5))
    test = SequentialTest(looks, dict.fromkeys(HOLM, 0.25), 0.9, calls=1)
    assert test.rejected(looks[1], HOLM) == {"H1", "H4"}


# --- look by look ------------------------------------------------------------------------------

THREE = SequentialTest((Look(3, 0.0), Look(5, 0.4), Look(8, 0.6)), {"p50": 1.0}, 0.99, calls=1)
NOTHING, CLEAR = {"p50": 0.5}, {"p50": 1e-9}


def test_looks_are_taken_in_order_until_a_check_falls() -> None:
    experiment = Given([CLEAR, NOTHING, CLEAR])
    assert decide(THREE, experiment) == {"p50"}
    assert experiment.taken == list(THREE.looks)
    assert experiment.asked == ["take", "risks", "is_open"] * 2 + ["take", "risks"]


def test_nothing_more_is_taken_once_a_check_fell() -> None:
    experiment = Given([NOTHING, CLEAR, NOTHING])
    assert decide(THREE, experiment) == {"p50"}
    assert experiment.taken == list(THREE.looks[:2])


def test_nothing_more_is_taken_once_nothing_is_open() -> None:
    experiment = Given([NOTHING, CLEAR, CLEAR], interesting=1)
    assert decide(THREE, experiment) == frozenset()
    assert experiment.taken == [THREE.looks[0]]


@pytest.mark.parametrize("able", range(3))
def test_an_experiment_that_cannot_take_observations_ends_with_nothing_rejected(able: int) -> None:
    experiment = Given([NOTHING, NOTHING, CLEAR], able=able)
    assert decide(THREE, experiment) == frozenset()
    assert experiment.asked[-1] == "take", "what it has is not looked at again"
    assert experiment.asked.count("take") == able + 1


def test_the_last_look_may_leave_everything_open() -> None:
    experiment = Given([NOTHING] * 3)
    assert decide(THREE, experiment) == frozenset()
    assert experiment.taken == list(THREE.looks)


some_risks = st.sampled_from([1e-9, 1e-3, 3e-3, 5e-3, 0.5])


@patient
@given(st.lists(st.fixed_dictionaries({"p50": some_risks}), min_size=3, max_size=3),
       st.integers(0, 3), st.integers(0, 3))  # fmt: skip
def test_stopping_early_costs_no_risk(
    risks: list[dict[str, float]], able: int, interesting: int
) -> None:
    """Whatever ends the test early, nothing is rejected that all looks would not reject."""
    whole = decide(THREE, Given(risks))
    assert decide(THREE, Given(risks, able, interesting)) in (frozenset(), whole)


# --- how often it is wrong ---------------------------------------------------------------------

UPPER = NormalDist()
CONFIDENCE = 0.8  # a high risk shows in few sessions


class Unchanged:
    """A call that did not change: normal observations around 0, each check its own or all alike."""

    def __init__(
        self,
        random: np.random.Generator,
        looks: Sequence[Look],
        keys: Sequence[str],
        *,
        alike: bool,
        impatient: bool,
    ) -> None:
        columns = 1 if alike else len(keys)
        self._sums = np.cumsum(random.normal(0.0, 1.0, (looks[-1].size, columns)), axis=0)
        self._keys = keys
        self._impatient = impatient
        self._size = 0

    def take(self, look: Look) -> bool:
        self._size = look.size
        return True

    def risks(self) -> Risks:
        scaled = self._sums[self._size - 1] / math.sqrt(self._size)
        found = [1.0 - UPPER.cdf(float(value)) for value in scaled]
        return dict(zip(self._keys, found * (len(self._keys) // len(found)), strict=True))

    def is_open(self, look: Look) -> bool:
        return not self._impatient or min(self.risks().values()) < 0.3


def false_alarms(
    sessions: int,
    looks: Sequence[Look],
    checks: int,
    calls: int,
    *,
    alike: bool = False,
    impatient: bool = False,
) -> float:
    """The share of sessions with unchanged code in which any check of any call falls."""
    random = np.random.default_rng(checks * 100 + calls)
    test = SequentialTest(tuple(looks), equally(checks), CONFIDENCE, calls)
    keys = list(test.shares)

    def call() -> frozenset[str]:
        return decide(test, Unchanged(random, looks, keys, alike=alike, impatient=impatient))

    return sum(any([call() for _ in range(calls)]) for _ in range(sessions)) / sessions


def slack(sessions: int) -> float:
    """Three standard deviations of a rate that is the nominal one."""
    return 3.0 * math.sqrt(CONFIDENCE * (1.0 - CONFIDENCE) / sessions)


SESSIONS = [800, pytest.param(10_000, marks=pytest.mark.nightly)]


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize("looks", LOOKS.values(), ids=list(LOOKS))
@pytest.mark.parametrize(("checks", "calls"), [(1, 1), (4, 1), (2, 5), (12, 3)])
def test_unchanged_code_fails_in_no_more_sessions_than_promised(
    sessions: int, looks: Sequence[Look], checks: int, calls: int
) -> None:
    rate = false_alarms(sessions, looks, checks, calls)
    assert rate <= 1.0 - CONFIDENCE + slack(sessions)
    assert rate >= 0.5 * (1.0 - CONFIDENCE), "and the test does reject"


@pytest.mark.parametrize("sessions", SESSIONS)
@pytest.mark.parametrize("looks", LOOKS.values(), ids=list(LOOKS))
@pytest.mark.parametrize(("alike", "impatient"), [(True, False), (False, True), (True, True)])
def test_neither_checks_that_move_together_nor_early_ends_raise_more_alarms(
    sessions: int, looks: Sequence[Look], alike: bool, impatient: bool
) -> None:
    rate = false_alarms(sessions, looks, 4, 3, alike=alike, impatient=impatient)
    assert rate <= 1.0 - CONFIDENCE + slack(sessions)


@pytest.mark.parametrize(
    "spending",
    [
        pytest.param(lambda looks: [Look(look.size, 1.0) for look in looks], id="all at each look"),
        pytest.param(lambda looks: [Look(look.size, 0.9) for look in looks], id="most at each"),
    ],
)
def test_the_simulation_notices_a_test_that_spends_too_much(
    spending: Callable[[Sequence[Look]], list[Look]],
) -> None:
    rate = false_alarms(800, spending(baseline.RELAUNCH_LOOKS), 4, 3)
    assert rate > 1.0 - CONFIDENCE + slack(800)
