"""Reasons and remedies: how each is written, and that every undecided verdict has both."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from pytest_hiddencost.core.checks import INCONCLUSIVE, NEW
from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.core.records import (
    GENERATED,
    LATENCY,
    DeviceHealth,
    MacKindCost,
    Profile,
    ReferenceTime,
    Verdict,
)
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.baseline import comparison as baseline
from pytest_hiddencost.judge.baseline.energy_growth import energy_verdicts
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.baseline.gate import Gate
from pytest_hiddencost.judge.budgets import check
from pytest_hiddencost.judge.interleaved import comparison as interleaved
from pytest_hiddencost.judge.interleaved.disagreement import Conditions
from pytest_hiddencost.judge.structure import check_structure
from pytest_hiddencost.run.markers import latency_budget
from tests.judge.baseline.stored_entries import DEVICE, store
from tests.judge.filled_reasons import ALL, FILLED, VALUES
from tests.judge.launches import COPY, MS, REFERENCE_NS, launch, launches
from tests.profiles import S, energy_use, network, operator, profile_of, samples_around

VERBS = frozenset(
    {
        "allow", "bring", "commit", "compare", "fetch", "limit", "make", "measure", "mend", "move",
        "record", "register", "run", "take",
    }
)  # fmt: skip
ARGUMENTS = frozenset(signature(latency_budget).parameters)
ACTIONS = ("the marker", "the device", "the cores", "the model", "the call", "the structure", "run")
BANNED = ("is said", "is told", "is held", "nothing but")
MOST_WORDS = 25
REASONS = pytest.mark.parametrize("name", ALL)


def sentences(text: str) -> list[str]:
    return [sentence for sentence in re.split(r"[.;:] ", text) if sentence]


def words(text: str) -> list[str]:
    """The words of a text; what a placeholder stands for is one of them."""
    return re.sub(r"\{+[^{}]*\}+", "value", text).split()


# --- how they are written ----------------------------------------------------------------------


def test_there_are_reasons() -> None:
    assert ALL["NO_BASELINE"] is reasons.NO_BASELINE
    assert len(ALL) > 20


@REASONS
def test_every_reason_says_what_was_found_and_what_to_do(name: str) -> None:
    reason = ALL[name]
    assert reason.found.strip()
    assert reason.remedy.strip()
    for text in (reason.found, reason.remedy):
        assert text == text.strip()
        assert not text.endswith((".", ";", ":")), "found and remedy are joined to one line"


@REASONS
def test_every_remedy_begins_with_an_imperative(name: str) -> None:
    remedy = ALL[name].remedy
    assert remedy.startswith("{") or remedy.split()[0] in VERBS, remedy


@REASONS
def test_every_remedy_names_an_option_an_argument_or_an_action(name: str) -> None:
    remedy = ALL[name].remedy
    named = set(re.findall(r"\w+", remedy))
    assert (
        remedy.startswith("{")
        or "--hiddencost-" in remedy
        or "-n0" in remedy
        or named & ARGUMENTS
        or any(action in remedy for action in ACTIONS)
    ), remedy


@REASONS
def test_no_sentence_is_long(name: str) -> None:
    reason = ALL[name]
    for sentence in (*sentences(reason.found), *sentences(reason.remedy)):
        assert len(words(sentence)) <= MOST_WORDS, sentence


@REASONS
def test_no_reason_is_a_riddle(name: str) -> None:
    for text in (ALL[name].found, ALL[name].remedy):
        assert not text.startswith("Of ")
        assert not any(form in text for form in BANNED), text


@REASONS
def test_every_placeholder_is_filled(name: str) -> None:
    reason = ALL[name]
    texts = (reason.found, reason.remedy)
    fields = {field for text in texts for _, field, _, _ in Formatter().parse(text) if field}
    assert fields <= set(VALUES), "tests.judge.filled_reasons lacks a value"
    filled = FILLED[name]
    for field in fields:
        assert str(VALUES[field]) in filled.found + filled.remedy
    for text in (filled.found, filled.remedy):
        assert "{{" not in text
        assert "}}" not in text


@REASONS
def test_options_in_remedies_exist(name: str) -> None:
    from pytest_hiddencost.options import OPTIONS

    known = {f"--hiddencost-{option.name}" for option in OPTIONS}
    found = re.findall(r"--hiddencost-[a-z-]+", ALL[name].remedy)
    assert set(found) <= known


# --- every way to an undecided verdict ---------------------------------------------------------

Verdicts = Iterable[Verdict]
SURE = Tolerances()
HOT = DeviceHealth(False, ("throttled while measured",), remedies=("cool the device",))
QUIET = (10.0, 10.02, 9.98)
ENERGY = Tolerances(own={"energy": 0.1})
NO_METER = EnergyUnknown("no energy meter found", "permit it: sudo chmod")


def limits(profile: Profile, **budget: object) -> Verdicts:
    return check(profile, latency_budget(**budget))


def samples(count: int, windows: int = 12) -> Profile:
    return profile_of(
        operator("aten::addmm", 6 * MS, macs=1000, windows=windows),
        samples_ns=samples_around(10 * MS, count),
    )


def structure(now: Profile, recorded: Profile) -> Verdicts:
    return check_structure(now, entry_of([recorded]), SURE).verdicts


def recorded(*p50_ms: float) -> Entry:
    return entry_of(launches(*(p50_ms or QUIET)))


def against_baseline(
    now: Profile,
    entry: Entry,
    launcher: Callable[[int], Sequence[Profile]] | None = None,
    *,
    confidence: float = 0.99,
    calls: int = 1,
) -> Verdicts:
    plan = baseline.BaselinePlan(0.05, confidence, calls, SURE, launcher)
    return baseline.compare(now, entry, plan)[0]


def no_relaunch(_: int) -> Sequence[Profile]:
    return []


class Alternating:
    """Pairs that show these growths in turn; after ``left`` of them none can be measured."""

    def __init__(
        self,
        growths: Sequence[float],
        left: int,
        conditions: Conditions,
        known: Sequence[str],
        **head: object,
    ) -> None:
        self._known = known
        self._growths = growths
        self._left = left
        self._conditions = conditions
        self._head, self._base = launch(**head), launch()  # type: ignore[arg-type]

    def __call__(self) -> interleaved.Pair:
        if not self._left:
            raise InterleavingError("main: the worker process ended with exit status -9")
        self._left -= 1
        change = math.log1p(self._growths[self._left % len(self._growths)])
        changes = dict.fromkeys(self._known, change)
        return interleaved.Pair(changes, 40, self._conditions, self._head, self._base)


CALM = Conditions()
NEAR, FAR = (0.14, 0.16), (-0.3, 0.6)  # the limit, and each other


def against_base(
    *growths: float,
    left: int = 99,
    conditions: Conditions = CALM,
    tolerances: Tolerances = SURE,
    known: Sequence[str] = ("p50", "non_mac"),
    **head: object,
) -> Verdicts:
    plan = interleaved.RevisionPlan("main", "0123abc", 0.15, 0.99, 1, tolerances)
    pairs = Alternating(growths, left, conditions, known, **head)
    return interleaved.compare_pairs(plan, pairs)[0]


def used(**changes: Any) -> Profile:
    """A launch whose energy is known."""
    return launch(energy=energy_use(12e6, **changes))


def energy(now: Profile, entry: Entry) -> Verdicts:
    return energy_verdicts(now, entry, ENERGY, 0.99, 1, lambda: now)


def gate(folder: Path, **device: object) -> Verdicts:
    module, name = launch().test.split("::")
    if device:
        store(folder, key="a like device", **device).update({(module, name, ""): recorded()})
    made = Gate(store(folder), DEVICE, (launch().test,), None, tolerance=0.05, confidence=0.99)
    return made.judged(launch(), SURE).verdicts


WAYS: Mapping[str, Callable[[Path], Verdicts]] = {
    "NOTHING_SEEN": lambda _: limits(profile_of(), macs=1),
    "NO_FORMULA": lambda _: limits(network(uncosted=("mylib::gemm",)), macs="1 GMAC"),
    "UNTIMED_MACS": lambda _: limits(
        network(mac_kinds=(MacKindCost(GENERATED, 1, 4096, None),)), non_mac="10%"
    ),
    "STRADDLES": lambda _: limits(network(), p50="10 ms", non_mac="40%", mac_rate="3 GMAC/s"),
    "STRADDLES_LENGTHY": lambda _: limits(
        profile_of(operator("aten::addmm", 9 * S, macs=1000), samples_ns=samples_around(14 * S, 8)),
        p50="14 s",
        mac_rate="71 MAC/s",
    ),
    "FEW_LENGTHY_SAMPLES": lambda _: limits(
        profile_of(samples_ns=samples_around(14 * S, 8)), p95="20 s"
    ),
    "FEW_SAMPLES": lambda _: limits(samples(7), p50="20 ms", p99="20 ms", mac_rate="1 MAC/s"),
    "FEW_WINDOWS": lambda _: limits(samples(600, windows=7), non_mac="99%"),
    "WITHIN_CORRECTION": lambda _: limits(
        profile_of(operator("aten::narrow", 1 * MS, 1000, uncertainty_ns=0.5 * MS)),
        operators={"view": "8%"},
    ),
    "CALLS_VARY": lambda _: limits(
        profile_of(operator("aten::cat", MS, 12, calls_range=(10, 14))),
        operators={"aten::cat": "12 calls"},
    ),
    "VARIES": lambda _: [
        *limits(network(varies=("macs",)), macs="1 GMAC", mac_rate="1 GMAC/s"),
        *structure(launch(varies=("macs",)), launch()),
        *structure(launch(), launch(varies=("allocated_bytes",))),
    ],
    "CALL_CHANGES": lambda _: [
        *limits(network(varies=(LATENCY,)), p50="10 ms", non_mac="10%"),
        *list(against_baseline(launch(varies=(LATENCY,)), recorded()))[-2:],
        *list(against_base(0.0, varies=(LATENCY,)))[-2:],
    ],
    "UNCOUNTED_MACS": lambda _: structure(launch(uncosted=("mylib::gemm",)), launch()),
    "UNSEEN": lambda _: [
        *limits(network(unseen_ns=90_000), macs="1 GMAC", operators={"aten::cat": "0 calls"}),
        *structure(launch(unseen_ns=90_000), launch()),
        *structure(launch(calls={COPY: 99}), launch(unseen_ns=90_000)),
    ],
    "NO_MEMORY": lambda _: limits(network(activation_peak_bytes=None), activation_memory="1 GiB"),
    "NO_ENERGY": lambda _: limits(network(), energy="1 J"),
    "ENERGY_UNKNOWN": lambda _: limits(network(energy_unknown=NO_METER), energy="1 J"),
    "NO_RECORDED_ENERGY": lambda _: energy(used(), entry_of([launch()] * 3)),
    "OTHER_ENERGY_METER": lambda _: energy(used(), entry_of([used(meter="RAPL")] * 3)),
    "PAIRS_WITHOUT_ENERGY": lambda _: against_base(0.0, tolerances=ENERGY),
    "UNFIT": lambda _: [
        *limits(network(health=HOT), p50="10 ms", operators={"aten::cat": "5%"}),
        *against_baseline(launch(health=HOT), recorded()),
    ],
    "NO_BYTES": lambda _: [
        *structure(launch(allocated_bytes=None), launch()),
        *structure(launch(), launch(allocated_bytes=None)),
    ],
    "CHANGED_STRUCTURE": lambda _: against_baseline(launch(12 * MS, calls={COPY: 15}), recorded()),
    "NO_RELAUNCH": lambda _: against_baseline(launch(12 * MS), recorded()),
    "FEW_RELAUNCHES": lambda _: against_baseline(launch(12 * MS), recorded(), no_relaunch),
    "REFERENCE_MOVED": lambda _: against_baseline(
        launch(12 * MS, reference_ns=1.2 * REFERENCE_NS), recorded()
    ),
    "TOO_SPREAD": lambda _: against_baseline(launch(10.2 * MS), recorded(10.0, 11.0, 9.0)),
    "ONE_LAUNCH": lambda _: against_baseline(launch(), recorded(10.0)),
    "NEVER_FAILS": lambda _: against_baseline(
        launch(), recorded(10.0, 10.1), confidence=0.999999, calls=10_000
    ),
    "OTHER_REFERENCE": lambda _: against_baseline(
        launch(), replace(recorded(), reference_version=99)
    ),
    "NO_REFERENCE": lambda _: against_baseline(
        launch(), replace(recorded(), reference_ns=(0, 0, 0))
    ),
    "NO_TIME": lambda _: against_baseline(launch(reference=ReferenceTime()), recorded()),
    "RECORDED_UNFIT": lambda _: against_baseline(launch(), entry_of([launch(unfit="hot")] * 3)),
    "PAIRS_OPEN": lambda _: against_base(*NEAR),
    "PAIRS_DIFFER": lambda _: against_base(*NEAR, calls={COPY: 15}),
    "PAIRS_TROUBLE": lambda _: against_base(*NEAR, left=2),
    "PAIRS_NO_TIME": lambda _: against_base(
        0.0, known=("p50",), tolerances=Tolerances(own={"non_mac": 0.1})
    ),
    "PAIRS_OVERSUBSCRIBED": lambda _: against_base(
        *FAR, conditions=Conditions(threads_share_cores=True)
    ),
    "PAIRS_MEMORY": lambda _: against_base(*FAR, conditions=Conditions(faults=500.0)),
    "PAIRS_BUSY": lambda _: against_base(*FAR, conditions=Conditions(preemptions=500.0)),
    "PAIRS_UNFIT": lambda _: against_base(*FAR, health=HOT),
    "PAIRS_VARY": lambda _: against_base(*FAR, conditions=Conditions(scatter=0.5)),
    "NO_BASELINE": gate,
    "RECORDED_ELSEWHERE": lambda folder: gate(folder, threads=8),
}
# Without a pair there is no comparison: the run's mode gives these, and tests/run has its cases.
# The reasons of git have theirs in tests/judge/baseline/test_accepted.py.
BY_THE_MODE = {
    "NOT_IN_BASE",
    "NO_PAIR",
    "NOT_COMPARED",
    "LACKS_FILES",
    "RECORDED_IN_FOLDER",
    "LACKS_LFS",
}
BY_GIT = {"NOT_COMMITTED", "NOT_IN_GIT", "NO_GIT", "SHALLOW"}


def pattern(template: str) -> re.Pattern[str]:
    """A template with its placeholders filled."""
    parts = [re.escape(literal) + ".*" * bool(field) for literal, field, _, _ in
             Formatter().parse(template) if literal or field is not None]  # fmt: skip
    return re.compile("".join(parts))


def test_every_reason_has_a_way_to_it() -> None:
    assert {*WAYS, *BY_THE_MODE, *BY_GIT} == set(ALL)


@pytest.mark.parametrize("name", WAYS)
def test_every_undecided_verdict_has_reason_and_remedy(name: str, tmp_path: Path) -> None:
    undecided = [v for v in WAYS[name](tmp_path) if v.verdict in (INCONCLUSIVE, NEW)]
    assert undecided
    for verdict in undecided:
        assert verdict.reason
        assert verdict.remedy
    reason = ALL[name]
    assert any(
        pattern(reason.found).fullmatch(v.reason) and pattern(reason.remedy).fullmatch(v.remedy)
        for v in undecided
    ), [v.explanation for v in undecided]
