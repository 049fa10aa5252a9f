"""Which limits hold, which are broken, which cannot be decided; and how the tests end."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn
from torch._C._autograd import _profiler_enabled

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, PASS
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge import budgets
from pytest_hiddencost.measure.device.load import OtherLoad
from pytest_hiddencost.measure.operators.profiler import SEES_ALL_THREADS
from pytest_hiddencost.run.markers import latency_budget
from tests.run.fixtures import hidden_cost
from tests.suites import (
    GIVEN,
    JSON,
    Finished,
    endings,
    finished_here,
    profiles,
    run,
    section,
    stand_in,
    tables_in,
    verdicts,
)

X = torch.ones(1, 8)


def checked(profile: Profile) -> dict[str, str]:
    return {str(verdict.check): verdict.verdict for verdict in profile.verdicts}


# --- limits on a measured call ------------------------------------------------------------------

WITHIN: list[dict[str, object]] = [
    {"p50": "10 s"},
    {"p95": "10 s"},
    {"non_mac": "100%"},
    {"non_mac": "10 s"},
    {"operators": {"aten::addmm": "100%"}},
    {"operators": {"aten::addmm": "10 s"}},
    {"operators": {"aten::addmm": "1 call"}},
    {"operators": {"aten::*mm": "1 calls"}},
    {"operators": {"view": "100%"}},
    {"operators": {"mac": "1 calls", "activation": "2 calls"}},
    {"operators": {"aten::cat": "0 calls"}},
    {"operators": {"aten::cat": 0}},
    {"operators": {"pooling": "0 calls"}},
    {"operators": {"aten::*pool2d": "0 calls"}},
    {"mac_rate": "1 MAC/s"},
    {"macs": 4194304},
    {"macs": "4194304 MAC"},
    {"macs": "4.2 MMAC"},
    {"activation_memory": "1 GiB"},
]
BEYOND: list[dict[str, object]] = [
    {"p50": "1 ns"},
    {"p50": 0},
    {"p95": "1 ns"},
    {"non_mac": "0%"},
    {"non_mac": "1 ns"},
    {"operators": {"aten::addmm": "0%"}},
    {"operators": {"aten::addmm": "1 ns"}},
    {"operators": {"aten::addmm": "0 calls"}},
    {"operators": {"aten::*mm": "0 calls"}},
    {"operators": {"mac": "0 calls"}},
    {"operators": {"wrapper": "0%"}},
    {"mac_rate": "1000000 GMAC/s"},
    {"macs": 4194303},
    {"macs": 0},
    {"activation_memory": "1 B"},
]


@pytest.fixture(scope="module")
def big() -> Profile:
    """A call of 4,194,304 MACs, measured until its timed limits are decided."""
    model = nn.Sequential(nn.Linear(256, 256), nn.ReLU()).eval()
    timed = latency_budget(p95="10 s", non_mac="100%")
    return hidden_cost(timed, max_time_ns=300_000_000)(model, torch.ones(64, 256))


@pytest.mark.xdist_group("clock")
@pytest.mark.parametrize("limits", WITHIN, ids=str)
def test_within(big: Profile, limits: dict[str, Any]) -> None:
    assert {v.verdict for v in budgets.check(big, latency_budget(**limits))} == {PASS}


@pytest.mark.xdist_group("clock")
@pytest.mark.parametrize("limits", BEYOND, ids=str)
def test_beyond(big: Profile, limits: dict[str, Any]) -> None:
    assert [v.verdict for v in budgets.check(big, latency_budget(**limits))] == [FAIL]


def test_every_verdict_of_the_run_file_has_its_figures(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
        @budget(
            p50="10 s", p95="1 ns", non_mac="100%", macs=127, mac_rate="9000 GMAC/s",
            operators={"aten::addmm": "0 calls", "wrapper": "0%"}, activation_memory="1 GiB",
        )
        def test_it(hiddencost):
            hiddencost(BIG, ROWS)
        """,
        JSON,
    ).assert_outcomes(failed=1)
    entry = profiles(pytester)["test_it"]
    found: list[dict[str, Any]] = entry["verdicts"]
    assert {v["gate"]: (v["limit"], v["unit"]) for v in found} == {
        "p50": (1e10, "duration"),
        "p95": (1.0, "duration"),
        "non_mac": (1.0, "share"),
        "operators[aten::addmm]": (0.0, "calls"),
        "operators[wrapper]": (0.0, "share"),
        "mac_rate": (9e12, "mac_rate"),
        "macs": (127.0, "macs"),
        "activation_memory": (2.0**30, "bytes"),
    }
    measured = {v["gate"]: v["measured"] for v in found}
    assert measured["p50"] == entry["latency"]["median_ns"]
    assert measured["p95"] == entry["latency"]["p95_ns"]
    assert measured["non_mac"] == pytest.approx(entry["non_mac_share"])
    assert measured["mac_rate"] == entry["mac_rate"]
    assert measured["macs"] == entry["macs"] == 64 * 256 * 256
    assert measured["activation_memory"] == entry["activation_peak_bytes"]
    assert {v["gate"] for v in found if v["at_least"]} == {"mac_rate"}


# --- calls that differ from call to call ----------------------------------------------------------


MANY_WINDOWS_NS = 100_000_000  # both kinds of calls are among them


class Alternating(nn.Module):
    """Every second call does something else."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return torch.relu(x) if self.calls % 2 else self.other(x)

    def other(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.relu(x))


@pytest.mark.xdist_group("clock")
@pytest.mark.parametrize(
    ("limit", "verdict"), [("0 calls", FAIL), ("1 calls", INCONCLUSIVE), ("2 calls", INCONCLUSIVE)]
)
def test_no_limit_holds_for_a_number_of_calls_that_varies(limit: str, verdict: str) -> None:
    budget = latency_budget(operators={"aten::relu": limit})
    profile = hidden_cost(budget, max_time_ns=MANY_WINDOWS_NS)(Alternating().eval(), X)
    assert checked(profile) == {"operators[aten::relu]": verdict}
    assert profile.structure_varies


@pytest.mark.skipif(not SEES_ALL_THREADS, reason="torch records one thread only")
def test_no_exact_limit_passes_if_operators_run_in_another_thread() -> None:
    layer = nn.Linear(8, 8).eval()

    def branch(x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return torch.as_tensor(layer(x))

    budget = latency_budget(macs="1 GMAC", operators={"aten::addmm": "0 calls", "mac": "9 calls"})
    with ThreadPoolExecutor(1) as pool:
        profile = hidden_cost(budget)(lambda x: pool.submit(branch, x).result(), X)
    assert checked(profile) == {
        "operators[aten::addmm]": INCONCLUSIVE,
        "operators[mac]": INCONCLUSIVE,
        "macs": INCONCLUSIVE,
    }


@pytest.mark.xdist_group("clock")
def test_slower_calls_count_as_well() -> None:
    """The times of a disturbed window are dropped; its calls count all the same."""

    class Late(Alternating):
        def other(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.005)
            return super().other(x)

    budget = latency_budget(operators={"aten::relu": "1 calls"})
    profile = hidden_cost(budget, max_time_ns=MANY_WINDOWS_NS)(Late().eval(), X)
    assert checked(profile) == {"operators[aten::relu]": INCONCLUSIVE}


@pytest.mark.xdist_group("clock")
def test_one_fast_window_does_not_outvote_the_others() -> None:
    """It is the odd one out; shares are known from the others, and so is the verdict."""

    class Lucky(nn.Module):
        profiled = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.profiled += _profiler_enabled()
            if self.profiled != 6 or not _profiler_enabled():
                time.sleep(0.003)
            return x + 1

    budget = latency_budget(non_mac="100%", operators={"aten::add": "10 s"})
    profile = hidden_cost(budget, max_time_ns=200_000_000)(Lucky().eval(), X)
    assert set(checked(profile).values()) == {PASS}
    assert profile.profiler.windows >= 8


def test_a_slow_call_is_decided_although_time_is_short() -> None:
    """The median's interval needs eight samples; without a limit five will do."""

    def slow(x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.003)
        return x + 1

    profile = hidden_cost(latency_budget(p50="10 s"))(slow, X)
    assert checked(profile) == {"p50": PASS}
    assert len(profile.latency.samples_ns) >= 8
    assert len(hidden_cost()(slow, X).latency.samples_ns) >= 5


# --- what a formula or the device lacks -----------------------------------------------------------


def test_a_missing_formula_decides_only_what_it_cannot_change() -> None:
    """More MACs than were counted may break ``macs`` and may save ``mac_rate``."""
    library = torch.library.Library("hiddencost_verdict_tests", "DEF")
    library.define("fused_gemm(Tensor x) -> Tensor")
    library.impl("fused_gemm", lambda x: x.clone(), "CPU")
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU()).eval()

    def custom(x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.ops.hiddencost_verdict_tests.fused_gemm(model(x))
        return result

    undecided = hidden_cost(latency_budget(macs=128, mac_rate="1000000 GMAC/s"))(custom, X)
    assert undecided.uncosted == ("hiddencost_verdict_tests::fused_gemm",)
    assert checked(undecided) == {"macs": INCONCLUSIVE, "mac_rate": INCONCLUSIVE}
    assert all(undecided.uncosted[0] in v.reason for v in undecided.verdicts)
    decided = hidden_cost(latency_budget(macs=127, mac_rate="1 MAC/s"))(custom, X)
    assert checked(decided) == {"macs": FAIL, "mac_rate": PASS}


BUSY = "other processes took 1.5 of 2 cores"


def test_a_busy_machine_leaves_timed_limits_undecided(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OtherLoad, "objection", lambda self, threads: BUSY)
    result = run(
        pytester,
        """
        @budget(p50="10 s", p95="1 ns", non_mac="0%", mac_rate="1 MAC/s", macs=128,
                operators={"aten::addmm": "1 calls", "view": "0%"}, activation_memory="1 GiB")
        def test_exact_within(hiddencost): hiddencost(MODEL, X)

        @budget(p50="1 ns", macs=127)
        def test_exact_beyond(hiddencost): hiddencost(MODEL, X)
        """,
        JSON,
    )
    result.assert_outcomes(passed=1, failed=1)
    entries = profiles(pytester)
    assert verdicts(entries["test_exact_within"]) == {
        "p50": "inconclusive",
        "p95": "inconclusive",
        "non_mac": "inconclusive",
        "mac_rate": "inconclusive",
        "operators[view]": "inconclusive",
        "operators[aten::addmm]": "pass",
        "macs": "pass",
        "activation_memory": "pass",
    }
    assert verdicts(entries["test_exact_beyond"]) == {"p50": "inconclusive", "macs": "fail"}
    health = entries["test_exact_within"]["fitness"]
    assert (health["fit"], health["reasons"]) == (False, [BUSY])
    output = result.stdout.str()
    assert f"unfit for timing (2 of 2): {BUSY}" in output
    assert f"test_it.py::test_exact_beyond: p50 inconclusive: {BUSY}" in output


# --- how the tests end ----------------------------------------------------------------------------

# Each with a profile of 10 ms that was not measured here.
ENDINGS = """
FEW = network(latency=latency_of(samples_around(10_000_000, 60)))
WIDE = network(latency=latency_of(samples_around(10_000_000, 60, spread=0.5)))

@budget(
    p50="10 s", p95="1 ns", non_mac="100%", macs=127, mac_rate="9000 GMAC/s",
    operators={"aten::cat": "0 calls", "wrapper": "0%"}, activation_memory="1 GiB",
)
def test_several(hiddencost): hiddencost(given(network()), X)

@budget(macs=1)
def test_labelled(hiddencost): hiddencost(given(network()), X, label="batch of one")

@budget(operators={"aten::conv3d": "5%"})
def test_of_nothing(hiddencost): hiddencost(given(network()), X)

@budget(p50="10 s", macs="1 GMAC")
def test_decided(hiddencost): hiddencost(given(network()), X)

@budget(p50="10 s", p99="10 s")
def test_few(hiddencost): hiddencost(given(FEW), X)

@budget(p50="10.1 ms")
def test_straddled(hiddencost): hiddencost(given(WIDE), X)
"""


@pytest.fixture(scope="module")
def kept_runs() -> dict[bool, Finished]:
    """Runs that several tests look at, by whether they are strict."""
    return {}


def finished(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    kept_runs: dict[bool, Finished],
    strict: bool,
) -> Finished:
    """The run of ``ENDINGS``."""
    if strict not in kept_runs:
        stand_in(monkeypatch)
        arguments = ["-rA", *["--hiddencost-strict"] * strict]
        kept_runs[strict] = finished_here(pytester, [GIVEN, ENDINGS], *arguments)
    return kept_runs[strict]


@pytest.fixture
def lenient(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, kept_runs: dict[bool, Finished]
) -> Finished:
    """Without ``--hiddencost-strict``."""
    return finished(pytester, monkeypatch, kept_runs, False)


@pytest.fixture
def strict(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, kept_runs: dict[bool, Finished]
) -> Finished:
    """With ``--hiddencost-strict``."""
    return finished(pytester, monkeypatch, kept_runs, True)


def message(run: Finished, test: str) -> list[str]:
    """The lines of a failure's message."""
    failure = run.cases[test].find("failure")
    assert failure is not None
    assert failure.text is not None
    return failure.text.splitlines()


@pytest.mark.xdist_group("endings")
class TestEndings:
    def test_a_broken_limit_fails_its_test_alone(self, lenient: Finished) -> None:
        broken = {"test_several", "test_labelled", "test_of_nothing"}
        held = {"test_decided", "test_few", "test_straddled"}
        assert endings(lenient.stdout) == {
            name: ["FAILED" if name in broken else "PASSED"] for name in broken | held
        }

    def test_strictly_an_inconclusive_verdict_fails_its_test_as_well(
        self, strict: Finished
    ) -> None:
        ended = endings(strict.stdout)
        assert ended.pop("test_decided") == ["PASSED"]
        assert set(map(tuple, ended.values())) == {("FAILED",)}

    def test_the_message_starts_with_the_first_broken_limit(self, lenient: Finished) -> None:
        first = message(lenient, "test_several")[0]
        assert re.fullmatch(
            r"p95 [\d.]+ ms, at most 1 ns; 5 of 8 limits broken by MobileNet on cpu", first
        )

    def test_the_message_lists_every_limit_the_broken_ones_first(self, lenient: Finished) -> None:
        [head, *rows] = tables_in(message(lenient, "test_several"))[0]
        assert head == ["limit", "verdict", "measured", "99 % interval", "allowed"]
        assert [(row[0], row[1]) for row in rows] == [
            ("p95", "FAIL"),
            ("operators[aten::cat]", "FAIL"),
            ("operators[wrapper]", "FAIL"),
            ("mac_rate", "FAIL"),
            ("macs", "FAIL"),
            ("p50", "pass"),
            ("non_mac", "pass"),
            ("activation_memory", "pass"),
        ]

    def test_the_message_shows_what_cost_it(self, lenient: Finished) -> None:
        titles = [line for line in message(lenient, "test_several") if line.endswith(":")]
        assert titles == [
            "Where the latency goes:",
            "Time in aten::cat:",
            "Time in wrapper:",
            "Time outside MAC kernels:",
            "Operators with MACs:",
        ]

    def test_the_message_is_no_traceback(self, lenient: Finished) -> None:
        lines = message(lenient, "test_several")
        assert not [line for line in lines if line.startswith((">", "E  ")) or ".py:" in line]

    def test_the_message_names_label_and_model(self, lenient: Finished) -> None:
        [first, *_] = message(lenient, "test_labelled")
        assert "1 of 1 limits broken by MobileNet (batch of one) on cpu" in first

    def test_a_limit_that_checked_nothing_is_told_first(self, lenient: Finished) -> None:
        """pytest's short summary shows this one line alone."""
        assert "matches no operator" in message(lenient, "test_of_nothing")[0]

    def test_the_short_summary_says_which_limit_by_how_much(self, lenient: Finished) -> None:
        [line] = [
            x for x in lenient.stdout.splitlines() if x.startswith("FAILED test_it.py::test_l")
        ]
        assert "Failed: macs 30 MMAC, at most 1 MAC; 1 of 1 limits broken by" in line

    def test_too_few_samples_say_how_long_to_measure(self, lenient: Finished) -> None:
        assert verdicts(lenient.profiles["test_few"]) == {"p50": "pass", "p99": "inconclusive"}
        [line] = [line for line in section(lenient.stdout) if "test_few: p99 inconclusive" in line]
        assert "60 samples" in line
        assert "528" in line
        assert "--hiddencost-max-time=7s" in line  # 528 calls of 10 ms, and a fifth more

    def test_a_straddled_limit_says_what_to_do(self, lenient: Finished) -> None:
        assert verdicts(lenient.profiles["test_straddled"]) == {"p50": "inconclusive"}
        lines = section(lenient.stdout)
        [line] = [line for line in lines if "test_straddled: p50 inconclusive" in line]
        assert "straddles the limit" in line
        assert "--hiddencost-max-time" in line

    def test_the_strict_message_says_that_it_is_inconclusive_and_why(
        self, strict: Finished
    ) -> None:
        lines = message(strict, "test_straddled")
        assert lines[0].startswith("p50 is inconclusive: 10 ms, at most 10.1 ms")
        assert any(line.startswith("p50: inconclusive: ") and "straddles" in line for line in lines)
        assert "Where the latency goes:" in lines
