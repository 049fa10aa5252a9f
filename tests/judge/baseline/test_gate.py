"""The gate of a run: which entry a profile is compared with, and why another call is new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, LIMIT, NEW, PASS, Check, regression
from pytest_hiddencost.core.records import CallKey, Profile, Verdict
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline import gate as gate_module
from pytest_hiddencost.judge.baseline.comparison import BATCH, BaselinePlan, compare
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.baseline.gate import Gate
from tests.judge.baseline.stored_entries import DEVICE, store
from tests.judge.launches import COPY, MS, launch, launches
from tests.profiles import energy_use

TEST = launch().test
MODULE, NAME = TEST.split("::")
QUIET = (10.0, 10.02, 9.98)
RECORDED = entry_of(launches(*QUIET))


class Relaunching:
    """A relauncher that gives these profiles in turn; None: the test failed in that process."""

    def __init__(self, *given: Profile | None) -> None:
        self.trouble = ""
        self._given = list(given)
        self.asked: list[tuple[tuple[str, ...], str]] = []

    def launch(self, tests: Sequence[str], injection: str = "") -> Mapping[CallKey, Profile]:
        self.asked.append((tuple(tests), injection))
        found = self._given.pop(0)
        return {} if found is None else {(found.test, found.label): found}


def gate(
    folder: Path,
    recorded: Mapping[str, Entry],
    relauncher: Relaunching | None = None,
    *,
    tests: Sequence[str] = (TEST,),
    **device: Any,
) -> Gate:
    """A gate with entries of one test, by label, recorded on a device like this one."""
    store(folder, **device).update({(MODULE, NAME, label): e for label, e in recorded.items()})
    return Gate(store(folder), DEVICE, tests, relauncher, tolerance=0.05, confidence=0.99)


def verdicts(profile: Profile) -> dict[str, str]:
    return {v.check.key: v.verdict for v in profile.verdicts if v.check.kind != LIMIT}


def test_a_profile_is_compared_with_the_entry_of_its_call(tmp_path: Path) -> None:
    other = entry_of([replace(p, macs=1) for p in launches(*QUIET)])
    judged = gate(tmp_path, {"": RECORDED, "b1": other}).judged(launch(10 * MS), Tolerances())
    assert set(verdicts(judged).values()) == {PASS}
    assert judged.comparison is not None
    assert judged.comparison.launches == 3
    labelled = gate(tmp_path, {}).judged(launch(10 * MS, label="b1"), Tolerances())
    assert verdicts(labelled)["macs"] == FAIL


def test_verdicts_on_limits_are_kept(tmp_path: Path) -> None:
    limit = Verdict(Check(LIMIT, "p50"), PASS, 1.0, 2.0)
    judged = gate(tmp_path, {"": RECORDED}).judged(launch(verdicts=(limit,)), Tolerances())
    assert judged.verdicts[0] == limit
    assert len(judged.verdicts) > 1


def test_the_marker_and_the_run_say_by_how_much_a_call_may_grow(tmp_path: Path) -> None:
    made = gate(tmp_path, {"": RECORDED})
    more = launch(calls={COPY: 15})
    assert verdicts(made.judged(more, Tolerances()))["calls"] == FAIL
    assert verdicts(made.judged(more, Tolerances(own={"calls": 0.1})))["calls"] == PASS


def test_a_growth_is_confirmed_by_relaunches_of_the_same_test(tmp_path: Path) -> None:
    slow = [launch((12 + 0.01 * i) * MS) for i in range(BATCH)]
    relaunching = Relaunching(*slow)
    judged = gate(tmp_path, {"": RECORDED}, relaunching).judged(launch(12 * MS), Tolerances())
    assert verdicts(judged)["p50"] == FAIL
    assert relaunching.asked == [((TEST,), "")] * BATCH


def test_a_relaunch_in_which_the_test_failed_counts_for_nothing(tmp_path: Path) -> None:
    relaunching = Relaunching(*[None] * BATCH)
    judged = gate(tmp_path, {"": RECORDED}, relaunching).judged(launch(12 * MS), Tolerances())
    assert verdicts(judged)["p50"] == INCONCLUSIVE
    [p50] = [v for v in judged.verdicts if v.check == regression("p50")]
    assert p50.reason == "only 0 of 3 relaunches could be measured"


def test_an_injected_regression_is_injected_into_relaunches_as_well(tmp_path: Path) -> None:
    relaunching = Relaunching(*[launch(12 * MS)] * BATCH)
    gate(tmp_path, {"": RECORDED}, relaunching).judged(launch(12 * MS), Tolerances(), "slow")
    assert {injection for _, injection in relaunching.asked} == {"slow"}


def test_without_a_relauncher_nothing_is_confirmed(tmp_path: Path) -> None:
    judged = gate(tmp_path, {"": RECORDED}).judged(launch(12 * MS), Tolerances())
    [p50] = [v for v in judged.verdicts if v.check == regression("p50")]
    assert p50.verdict == INCONCLUSIVE
    assert p50.remedy == "run without pytest-xdist (-n0)"


def test_only_calls_with_a_baseline_share_the_risk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[BaselinePlan] = []

    def remembered(profile: Profile, entry: Entry, plan: BaselinePlan) -> Any:
        plans.append(plan)
        return compare(profile, entry, plan)

    monkeypatch.setattr(gate_module, "compare", remembered)
    tests = (TEST, f"{MODULE}::test_new", "test_other.py::test_it")
    made = gate(tmp_path, {"": RECORDED, "b1": RECORDED}, tests=tests)
    made.judged(launch(), Tolerances(own={"p50": 0.3}))
    [plan] = plans
    assert (plan.calls, plan.tolerance, plan.confidence) == (2, 0.05, 0.99)
    assert plan.tolerances.timed("p50", 0.05) == 0.3


# --- new calls ---------------------------------------------------------------------------------


def new(judged: Profile) -> Verdict:
    [verdict] = judged.verdicts
    assert (verdict.check, verdict.verdict) == (regression(), NEW)
    assert judged.comparison is None
    return verdict


def test_a_call_without_an_entry_is_new(tmp_path: Path) -> None:
    verdict = new(gate(tmp_path, {"b1": RECORDED}).judged(launch(), Tolerances()))
    assert verdict.reason == "no baseline on this device"
    assert "--hiddencost-update-new" in verdict.remedy


@pytest.mark.parametrize(
    ("device", "own", "other"),
    [
        ({"torch": "2.14.1+cpu"}, "torch 2.13", "torch 2.14"),
        ({"threads": 4}, "2 threads", "4 threads"),
        ({"cores": 8, "threads": 8}, "2 threads and 4 cores", "8 threads and 8 cores"),
    ],
)
def test_a_call_recorded_on_a_like_device_is_new_and_compared_in_words(
    tmp_path: Path, device: dict[str, Any], own: str, other: str
) -> None:
    made = gate(tmp_path, {"": RECORDED}, key="a like device", **device)
    verdict = new(made.judged(launch(11 * MS), Tolerances()))
    assert verdict.reason == f"no baseline for {own}; recorded under {other}: p50 +10 %"
    assert "--hiddencost-update-new" in verdict.remedy


def test_a_like_device_that_differs_in_nothing_named_is_not_mentioned(tmp_path: Path) -> None:
    made = gate(tmp_path, {"": RECORDED}, key="a like device", torch="2.13.1")
    assert new(made.judged(launch(), Tolerances())).reason == "no baseline on this device"


def test_a_recorded_energy_shares_the_risk_as_one_more_call(tmp_path: Path) -> None:
    metered = entry_of([launch(energy=energy_use(12e6))] * 3)
    assert gate(tmp_path / "a", {"": RECORDED, "b": RECORDED}).recorded_calls == 2
    assert gate(tmp_path / "b", {"": RECORDED, "b": metered}).recorded_calls == 3


def test_an_energy_is_confirmed_by_a_relaunch_although_pairs_decide_the_times(
    tmp_path: Path,
) -> None:
    metered = [launch(energy=energy_use(12e6))] * 3
    relaunching = Relaunching(launch(energy=energy_use(24e6)))
    made = replace(gate(tmp_path, {"": entry_of(metered)}), energy_relauncher=relaunching)
    allowed = Tolerances(own={"energy": 0.1})
    judged = made.judged(launch(12 * MS, energy=energy_use(24e6)), allowed, "slow")
    assert verdicts(judged)["energy"] == FAIL
    assert verdicts(judged)["p50"] == INCONCLUSIVE
    assert relaunching.asked == [((TEST,), "slow")]
