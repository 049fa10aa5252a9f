"""Which limits hold, which are broken, which cannot be decided; and what the message says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_hiddencost.measure.device.load import OtherLoad
from tests.suites import RUN_FILE, passes, profiles, run, tables_in, verdicts

JSON = f"--hiddencost-json={RUN_FILE}"
LONGER = ("--hiddencost-max-time=300ms", "--hiddencost-threads=1")
CALL = "\ndef test_it(hiddencost): hiddencost(MODEL, X)"
BIG_CALL = "\ndef test_it(hiddencost): hiddencost(BIG, ROWS)"

WITHIN = [
    'p50="10 s"',
    'p95="10 s"',
    'non_mac="100%"',
    'non_mac="10 s"',
    'operators={"aten::addmm": "100%"}',
    'operators={"aten::addmm": "10 s"}',
    'operators={"aten::addmm": "1 call"}',
    'operators={"aten::*mm": "1 calls"}',
    'operators={"view": "100%"}',
    'operators={"mac": "1 calls", "activation": "2 calls"}',
    'operators={"aten::cat": "0 calls"}',
    'operators={"aten::cat": 0}',
    'operators={"pooling": "0 calls"}',
    'mac_rate="1 MAC/s"',
    "macs=4194304",
    'macs="4194304 MAC"',
    'macs="4.2 MMAC"',
    'activation_memory="1 GiB"',
]
BEYOND = [
    'p50="1 ns"',
    "p50=0",
    'p95="1 ns"',
    'non_mac="0%"',
    'non_mac="1 ns"',
    'operators={"aten::addmm": "0%"}',
    'operators={"aten::addmm": "1 ns"}',
    'operators={"aten::addmm": "0 calls"}',
    'operators={"aten::*mm": "0 calls"}',
    'operators={"mac": "0 calls"}',
    'operators={"wrapper": "0%"}',
    'mac_rate="1000000 GMAC/s"',
    "macs=4194303",
    "macs=0",
    'activation_memory="1 B"',
]


@pytest.mark.parametrize("limit", WITHIN)
def test_within(pytester: pytest.Pytester, limit: str) -> None:
    passes(pytester, f"@budget({limit})" + BIG_CALL, JSON, *LONGER)
    assert set(verdicts(profiles(pytester)["test_it"]).values()) == {"pass"}


@pytest.mark.parametrize("limit", BEYOND)
def test_beyond(pytester: pytest.Pytester, limit: str) -> None:
    result = run(pytester, f"@budget({limit})" + BIG_CALL, JSON, *LONGER)
    result.assert_outcomes(failed=1)
    assert list(verdicts(profiles(pytester)["test_it"]).values()) == ["fail"]
    assert "1 of 1 limits broken by Sequential on cpu" in result.stdout.str()


def test_a_forbidden_glob_that_nothing_matches_holds(pytester: pytest.Pytester) -> None:
    """Operators of that name exist, the call has none of them: that is what was asked for."""
    passes(pytester, '@budget(operators={"aten::*pool2d": "0 calls"})' + CALL)


# --- the message --------------------------------------------------------------------------------

SEVERAL = """
@budget(
    p50="10 s", p95="1 ns", non_mac="100%", macs=127, mac_rate="9000 GMAC/s",
    operators={"aten::addmm": "0 calls", "wrapper": "0%"}, activation_memory="1 GiB",
)
def test_it(hiddencost):
    hiddencost(BIG, ROWS)
"""


def failure_of(output: str) -> list[str]:
    """The lines between the test's name and the summary."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if re.fullmatch(r"_+ test_it _+", line))
    end = next(i for i, line in enumerate(lines) if "hidden costs" in line)
    return lines[start + 1 : end]


def test_message_starts_with_the_first_broken_limit(pytester: pytest.Pytester) -> None:
    lines = failure_of(run(pytester, SEVERAL, *LONGER).stdout.str())
    assert re.fullmatch(
        r"p95 [\d.]+ us, at most 1 ns; 5 of 8 limits broken by Sequential on cpu", lines[0]
    )


def test_message_lists_every_limit_the_broken_ones_first(pytester: pytest.Pytester) -> None:
    lines = failure_of(run(pytester, SEVERAL, *LONGER).stdout.str())
    [head, *rows] = tables_in(lines)[0]
    assert head == ["limit", "verdict", "measured", "99 % interval", "allowed"]
    assert [(row[0], row[1]) for row in rows] == [
        ("p95", "FAIL"),
        ("operators[aten::addmm]", "FAIL"),
        ("operators[wrapper]", "FAIL"),
        ("mac_rate", "FAIL"),
        ("macs", "FAIL"),
        ("p50", "pass"),
        ("non_mac", "pass"),
        ("activation_memory", "pass"),
    ]
    allowed = {row[0]: row[-1] for row in rows}
    assert allowed["p50"] == "at most 10 s"
    assert allowed["mac_rate"] == "at least 9 TMAC/s"
    assert allowed["operators[aten::addmm]"] == "at most 0 calls"
    measured = {row[0]: row[2:4] for row in rows}
    assert measured["macs"] == ["4.19 MMAC", "exact"]
    assert measured["operators[aten::addmm]"] == ["1 call", "exact"]
    assert re.fullmatch(r"[\d.]+ to [\d.]+ us", measured["p50"][1])


def test_message_names_the_operators_that_cost_most_and_where(pytester: pytest.Pytester) -> None:
    lines = failure_of(run(pytester, SEVERAL, *LONGER).stdout.str())
    titles = [line for line in lines if line.endswith(":")]
    assert titles == [
        "Where the latency goes:",
        "What aten::addmm is spent on:",
        "What wrapper is spent on:",
        "What is spent outside MAC kernels:",
        "Where the MACs are:",
    ]
    [head, *rows] = tables_in(lines)[1]
    assert head == ["operator", "calls", "time", "share", "inside"]
    assert len(rows) == 9
    grouped_call_sites = {row[0]: row[-1] for row in rows}
    assert grouped_call_sites["aten::addmm"] == "linear"
    assert re.fullmatch(r"\d+ more", rows[-1][0])
    shares = [float(row[3].split()[0]) for row in rows[:-1]]
    assert shares == sorted(shares, reverse=True)
    # Among eight of all operators, a wrapper is there or not as its time has it.
    wrappers = {row[0]: row[-1] for row in tables_in(lines)[3][1:]}
    assert wrappers["aten::linear"] == "top level"


def test_message_is_no_traceback(pytester: pytest.Pytester) -> None:
    lines = failure_of(run(pytester, "@budget(macs=1)" + CALL).stdout.str())
    assert lines[0].startswith("macs 128 MAC, at most 1 MAC")
    assert not [line for line in lines if line.startswith((">", "E  ")) or ".py:" in line]


def test_message_names_label_and_model(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        class MyNet(nn.Linear): pass

        @budget(macs=1)
        def test_it(hiddencost):
            hiddencost(MyNet(8, 4).eval(), X, label="batch of one")
        """,
    )
    assert "1 of 1 limits broken by MyNet (batch of one) on cpu" in result.stdout.str()


def test_message_of_a_limit_that_checked_nothing_says_so_first(pytester: pytest.Pytester) -> None:
    """pytest's short summary shows this one line alone."""
    lines = failure_of(run(pytester, '@budget(operators={"aten::cat": "5%"})' + CALL).stdout.str())
    assert "matches no operator" in lines[0]


def test_short_summary_says_which_limit_by_how_much(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run(pytester, "@budget(macs=127)" + CALL)
    result.stdout.fnmatch_lines(
        ["FAILED test_it.py::test_it - Failed: macs 128 MAC, at most 127 MAC; 1 of 1 limits *"]
    )


# --- what cannot be decided ---------------------------------------------------------------------

SLOW = """
def slow(x):
    time.sleep(0.002)
    return x + 1
"""
# Half of the calls lie far above 10 ms, half far below: no number of them decides.
UNEVEN = """
class Uneven(nn.Module):
    calls = 0
    def forward(self, x):
        self.calls += 1
        time.sleep(0.03 if self.calls % 2 else 0.001)
        return x + 1

@budget(p50="12 ms")
def test_it(hiddencost):
    hiddencost(Uneven().eval(), X)
"""


def test_p99_says_how_long_to_measure(pytester: pytest.Pytester) -> None:
    output = passes(
        pytester,
        [SLOW, '@budget(p50="10 s", p99="10 s")\ndef test_it(hiddencost): hiddencost(slow, X)'],
        JSON,
    )
    assert verdicts(profiles(pytester)["test_it"]) == {"p50": "pass", "p99": "inconclusive"}
    [line] = [line for line in output.splitlines() if "p99 inconclusive" in line]
    found = re.search(
        r"p99 needs 528 samples at 99 % confidence, got (\d+): give --hiddencost-max-time=(\d+)s",
        line,
    )
    assert found is not None
    assert int(found[1]) < 528
    assert int(found[2]) >= 2, "528 calls of 2 ms and more"


def test_straddling_limit_is_inconclusive_and_does_not_fail(pytester: pytest.Pytester) -> None:
    output = passes(pytester, UNEVEN, JSON)
    assert verdicts(profiles(pytester)["test_it"]) == {"p50": "inconclusive"}
    assert "test_it.py::test_it: p50 inconclusive: the confidence interval straddles" in output


def test_strict_fails_what_is_inconclusive(pytester: pytest.Pytester) -> None:
    result = run(pytester, UNEVEN, "--hiddencost-strict")
    result.assert_outcomes(failed=1)
    lines = failure_of(result.stdout.str())
    assert lines[0].startswith("p50 is inconclusive: ")
    assert "p50: inconclusive: the confidence interval straddles the limit" in lines
    assert "Where the latency goes:" in lines


def test_strict_passes_what_is_decided(pytester: pytest.Pytester) -> None:
    passes(pytester, '@budget(p50="10 s", macs=128)' + CALL, "--hiddencost-strict")


def test_a_slow_call_is_decided_although_time_is_short(pytester: pytest.Pytester) -> None:
    """The median's interval needs eight samples; without a limit five will do."""
    passes(
        pytester,
        """
        def slow(x):
            time.sleep(0.01)
            return x + 1

        @budget(p50="10 s")
        def test_it(hiddencost):
            profile = hiddencost(slow, X)
            assert profile.verdicts[0].verdict == "pass"
            assert len(profile.latency.samples_ns) >= 8

        def test_without(hiddencost):
            assert len(hiddencost(slow, X).latency.samples_ns) >= 5
        """,
        count=2,
    )


BUSY = "other processes took 1.5 of 2 cores"


def test_busy_machine_leaves_timed_limits_undecided(
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
    assert f"not fit for timing (2 of 2): {BUSY}" in output
    assert f"test_it.py::test_exact_beyond: p50 inconclusive: {BUSY}" in output


def structure(second: str) -> str:
    """A model whose every second call does something else."""
    return f"""
class Alternating(nn.Module):
    calls = 0
    def forward(self, x):
        self.calls += 1
        return torch.relu(x) if self.calls % 2 else {second}
"""


@pytest.mark.parametrize(
    ("limit", "verdict"), [("0 calls", "fail"), ("1 calls", "inconclusive"), ("2 calls", "pass")]
)
def test_varying_number_of_calls(pytester: pytest.Pytester, limit: str, verdict: str) -> None:
    tests = f"""
@budget(operators={{"aten::relu": "{limit}"}})
def test_it(hiddencost):
    hiddencost(Alternating().eval(), X)
"""
    result = run(pytester, [structure("torch.relu(torch.relu(x))"), tests], JSON)
    entry = profiles(pytester)["test_it"]
    assert verdicts(entry) == {"operators[aten::relu]": verdict}
    assert entry["structure_varies"]
    assert "test_it.py::test_it: structure varies from call to call" in result.stdout.str()


def test_slower_calls_count_as_well(pytester: pytest.Pytester) -> None:
    """What a disturbed window says about time is dropped; its calls happened all the same."""
    tests = """
def twice_and_late(x):
    time.sleep(0.005)
    return torch.relu(torch.relu(x))

@budget(operators={"aten::relu": "1 calls"})
def test_it(hiddencost):
    hiddencost(Alternating().eval(), X)
"""
    run(pytester, [structure("twice_and_late(x)"), tests], JSON)
    assert verdicts(profiles(pytester)["test_it"]) == {"operators[aten::relu]": "inconclusive"}


def test_one_fast_window_does_not_outvote_the_others(pytester: pytest.Pytester) -> None:
    """It is the odd one out; shares are known from the others, and so is the verdict."""
    passes(
        pytester,
        """
        class Lucky(nn.Module):
            profiled = 0
            def forward(self, x):
                self.profiled += torch.autograd._profiler_enabled()
                if self.profiled != 6 or not torch.autograd._profiler_enabled():
                    time.sleep(0.003)
                return x + 1

        @budget(non_mac="100%", operators={"aten::add": "10 s"})
        def test_it(hiddencost):
            profile = hiddencost(Lucky().eval(), X)
            assert [v.verdict for v in profile.verdicts] == ["pass", "pass"]
            assert profile.profiler.windows >= 8
        """,
        "--hiddencost-max-time=2s",
    )


def custom_gemm(name: str) -> str:
    """An operator that may do MACs and has no formula; a library's name is free once only."""
    return f"""
LIBRARY = torch.library.Library("{name}", "DEF")
LIBRARY.define("fused_gemm(Tensor x) -> Tensor")
LIBRARY.impl("fused_gemm", lambda x: x.clone(), "CPU")

def custom(x):
    return torch.ops.{name}.fused_gemm(MODEL(x))
"""


def test_missing_formula_decides_only_what_it_cannot_change(pytester: pytest.Pytester) -> None:
    """More MACs than were counted may break ``macs`` and may save ``mac_rate``."""
    result = run(
        pytester,
        [
            custom_gemm("hiddencost_plugin_tests"),
            """
            @budget(macs=128, mac_rate="1000000 GMAC/s")
            def test_undecided(hiddencost): hiddencost(custom, X)

            @budget(macs=127, mac_rate="1 MAC/s")
            def test_decided(hiddencost): hiddencost(custom, X)
            """,
        ],
        JSON,
    )
    entries = profiles(pytester)
    name = "hiddencost_plugin_tests::fused_gemm"
    assert entries["test_undecided"]["uncosted"] == [name]
    undecided, decided = verdicts(entries["test_undecided"]), verdicts(entries["test_decided"])
    assert undecided == {"macs": "inconclusive", "mac_rate": "inconclusive"}
    assert decided == {"macs": "fail", "mac_rate": "pass"}
    output = result.stdout.str()
    assert f"macs, mac_rate inconclusive: MACs are incomplete, no formula for {name}" in (
        output.replace("mac_rate, macs", "macs, mac_rate")
    )
    assert f"test_it.py::test_decided: no MAC formula for {name}" in output


def test_every_verdict_of_the_run_file_has_its_figures(pytester: pytest.Pytester) -> None:
    run(pytester, SEVERAL, JSON, *LONGER)
    found: list[dict[str, Any]] = profiles(pytester)["test_it"]["verdicts"]
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
    entry = profiles(pytester)["test_it"]
    measured = {v["gate"]: v["measured"] for v in found}
    assert measured["p50"] == entry["latency"]["median_ns"]
    assert measured["p95"] == entry["latency"]["p95_ns"]
    assert measured["non_mac"] == pytest.approx(entry["non_mac_share"])
    assert measured["mac_rate"] == entry["mac_rate"]
    assert measured["macs"] == entry["macs"] == 64 * 256 * 256
    assert measured["activation_memory"] == entry["activation_peak_bytes"]
    assert {v["gate"] for v in found if v["at_least"]} == {"mac_rate"}
