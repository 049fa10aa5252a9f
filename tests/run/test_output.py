"""The terminal summary of a run: what it shows at which verbosity; its figures are the stored ones.

The look of its tables is tested in ``tests/report``.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.suites import (
    BRIEF,
    GIVEN,
    JSON,
    Finished,
    finished_here,
    longest,
    passes,
    profiles,
    run,
    run_here,
    section,
    stand_in,
    tables_in,
    write_suite,
)

THREE = """
@budget(p50="10 s")
def test_within(hiddencost): hiddencost(MODEL, X)

def test_free(hiddencost): hiddencost(BIG, ROWS, label="64 rows")

@pytest.mark.xfail
@budget(macs=1)
def test_beyond(hiddencost): hiddencost(Net().eval(), IMAGE)
"""
CONV = "def test_it(hiddencost): hiddencost(Net().eval(), IMAGE)"
GIVEN_WITHIN = '@budget(p50="10 s")\ndef test_it(hiddencost): hiddencost(given(network()), X)'
GIVEN_BEYOND = "@budget(macs=1)\ndef test_it(hiddencost): hiddencost(given(network()), X)"
GIVEN_FEW = """
@budget(p99="10 s")
def test_it(hiddencost):
    hiddencost(given(network(latency=latency_of(samples_around(10_000_000, 60)))), X)
"""
SGR = re.compile(r"\x1b\[[\d;]*m")


def summary_rows(output: str) -> dict[str, dict[str, str]]:
    """The summary's rows by test: cells by header."""
    head, *rows = tables_in(section(output))[0]
    rows = [row for row in rows if "::" in row[0] and len(row[-1].split()) == 1]
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


# --- one row per profile, and the details -------------------------------------------------------


@pytest.fixture(scope="module")
def kept_runs() -> dict[str, Finished]:
    """Runs that several tests look at."""
    return {}


@pytest.fixture
def three(kept_runs: dict[str, Finished], pytester: pytest.Pytester) -> Finished:
    """Three calls, one with a label, one beyond its budget."""
    if "three" not in kept_runs:
        kept_runs["three"] = finished_here(pytester, THREE)
    return kept_runs["three"]


@pytest.fixture
def conv(kept_runs: dict[str, Finished], pytester: pytest.Pytester) -> Finished:
    """A convolution in full detail."""
    if "conv" not in kept_runs:
        kept_runs["conv"] = finished_here(pytester, CONV, "-vv")
    return kept_runs["conv"]


SCALE = {
    "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9, "MAC": 1.0, "kMAC": 1e3, "MMAC": 1e6,
    "kMAC/s": 1e3, "MMAC/s": 1e6, "GMAC/s": 1e9, "B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20,
}  # fmt: skip


def number(row: dict[str, str], pattern: str) -> tuple[float, str]:
    """The number in the one column whose header matches, and the unit of that header."""
    [(name, text)] = [(n, t) for n, t in row.items() if re.fullmatch(pattern, n)]
    return float(text.removesuffix(" %")), name.rpartition(" ")[2]


def tables(output: str) -> dict[str, list[list[str]]]:
    """The rows of every table by the header of its first column."""
    return {table[0][0]: table[1:] for table in tables_in(section(output))}


def nanoseconds(text: str) -> float:
    """A printed time."""
    value, unit = text.removeprefix("~").split()
    return float(value) * SCALE[unit]


@pytest.mark.xdist_group("summary")
class TestFigures:
    def test_a_row_for_every_profile(self, three: Finished) -> None:
        found = summary_rows(three.stdout)
        assert {name: row["verdict"] for name, row in found.items()} == {
            "test_it.py::test_within": "pass",
            "test_it.py::test_free 64 rows": "-",
            "test_it.py::test_beyond": "fail",
        }

    def test_columns(self, three: Finished) -> None:
        row = next(iter(summary_rows(three.stdout).values()))
        patterns = [
            "test", "p50 .?s", "p95 .?s", ".?MAC", ".?MAC/s", "non-MAC", "largest hidden cost",
            "peak .*B", "verdict",
        ]  # fmt: skip
        for name, pattern in zip(row, patterns, strict=True):
            assert re.fullmatch(pattern, name)

    def test_what_is_printed_is_what_is_stored(self, three: Finished) -> None:
        """To three digits, in the unit that the header names."""
        found, stored = summary_rows(three.stdout), three.profiles
        assert len(found) == len(stored) == 3
        for name, entry in stored.items():
            row = found[f"test_it.py::{name}"]
            columns = {
                "p50 .*": entry["latency"]["median_ns"],
                "p95 .*": entry["latency"]["p95_ns"],
                ".?MAC": entry["macs"],
                ".?MAC/s": entry["mac_rate"],
                "peak .*": entry["activation_peak_bytes"],
            }
            for pattern, value in columns.items():
                printed, unit = number(row, pattern)
                # Half a digit of the last that a column in one unit has.
                assert printed * SCALE[unit] == pytest.approx(
                    value, rel=0.006, abs=0.006 * SCALE[unit]
                )
            printed, _ = number(row, "non-MAC")
            assert printed / 100 == pytest.approx(entry["non_mac_share"], rel=0.006, abs=0.006)

    def test_largest_hidden_cost(self, three: Finished) -> None:
        for name, entry in three.profiles.items():
            hidden = {o["name"]: o["self_ns"] * (1 - o["mac_share"]) for o in entry["operators"]}
            hidden["outside"] = entry["outside_ns"]
            largest = max(hidden, key=lambda key: hidden[key])
            cell = summary_rows(three.stdout)[f"test_it.py::{name}"]["largest hidden cost"]
            text, _, share = cell.partition(" ")
            assert largest.removeprefix("aten::").startswith(text.removesuffix(".."))
            printed = float(share.removesuffix(" %")) / 100
            assert printed == pytest.approx(
                hidden[largest] / entry["latency"]["median_ns"], rel=0.006
            )

    def test_device_line(self, three: Finished) -> None:
        device = three.document["device"]
        assert section(three.stdout)[0] == (
            f"cpu: {device['model']}, {device['cores']} cores, 1 thread, torch {device['torch']}"
        )

    def test_no_colours_when_redirected(self, three: Finished) -> None:
        assert "\x1b[" not in three.stdout

    def test_groups_add_up_to_the_latency(self, conv: Finished) -> None:
        entry = conv.profiles["test_it"]
        found = tables(conv.stdout)["group"]
        assert {row[0] for row in found} >= {"mac", "normalization", "activation", "outside"}
        times = [nanoseconds(row[-2]) for row in found]
        residual = abs(entry["profiler"]["residual_share"])
        assert sum(times) == pytest.approx(entry["latency"]["median_ns"], rel=0.01 + residual)
        assert times == sorted(times, reverse=True)

    def test_mac_kinds(self, conv: Finished) -> None:
        [row] = tables(conv.stdout)["MAC kind"]
        assert row[:3] == ["conv2d 3x3", "1", "7.78 kMAC"]

    def test_operators_are_all_there(self, conv: Finished) -> None:
        entry = conv.profiles["test_it"]
        printed = {row[0]: row for row in tables(conv.stdout)["operator"]}
        outside = printed.pop("outside")
        assert nanoseconds(outside[2]) == pytest.approx(entry["outside_ns"], rel=0.006)
        stored = {o["name"]: o for o in entry["operators"]}
        assert printed.keys() == stored.keys()
        for name, row in printed.items():
            assert int(row[1]) == stored[name]["calls"]
            assert nanoseconds(row[2]) == pytest.approx(
                stored[name]["self_ns"], rel=0.006, abs=0.01
            )

    def test_insides_are_those_of_the_composites(self, conv: Finished) -> None:
        composites: list[dict[str, Any]] = conv.profiles["test_it"]["composites"]
        composite = next(c for c in composites if c["name"] == "aten::conv2d")
        [printed] = [
            rows
            for head, rows in tables(conv.stdout).items()
            if head.startswith("inside aten::conv2d")
        ]
        assert [(row[0], int(row[1])) for row in printed] == [
            (cost["name"], cost["calls"]) for cost in composite["inside"]
        ]
        shares = [float(row[-1].removesuffix(" %")) for row in printed]
        assert sum(shares) == pytest.approx(100, abs=1)

    def test_one_call_is_not_calls(self, conv: Finished) -> None:
        assert "(1 calls)" not in conv.stdout

    def test_profiler_line(self, conv: Finished) -> None:
        entry = conv.profiles["test_it"]
        cost = entry["profiler"]
        [line] = [line for line in section(conv.stdout) if line.startswith("profiler: ")]
        assert f"{cost['events']} events in each of {cost['windows']} windows" in line
        assert f"{len(entry['latency']['samples_ns'])} timed calls" in line
        assert "took -" not in line, "negative is not longer"


# --- verbosity ----------------------------------------------------------------------------------

PLAIN, GROUPS, INSIDES = "plain", "groups", "insides"


def level(output: str) -> str | None:
    """The verbosity of the summary."""
    if "hidden costs" not in output:
        return None
    lines = section(output)
    groups = any(line.split() == ["group", "calls", "time", "share"] for line in lines)
    operators = any(line.startswith("operator ") for line in lines)
    return {(False, False): PLAIN, (True, False): GROUPS, (True, True): INSIDES}[groups, operators]


@pytest.fixture
def _given(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


@pytest.mark.usefixtures("_given")
class TestVerbosity:
    @pytest.mark.parametrize(
        ("flags", "expected"),
        [("-qq", None), ("-q", None), (None, PLAIN), ("-v", GROUPS), ("-vv", INSIDES)],
    )
    def test_is_that_of_the_run(
        self, pytester: pytest.Pytester, flags: str | None, expected: str | None
    ) -> None:
        result = run(pytester, [GIVEN, GIVEN_WITHIN], *filter(None, [flags]))
        assert result.ret == 0
        assert level(result.stdout.str()) == expected

    @pytest.mark.parametrize(
        ("value", "flags", "expected"),
        [
            ("2", [], INSIDES),
            ("1", [], GROUPS),
            ("1", ["-q"], GROUPS),
            ("0", ["-vv"], PLAIN),
            ("-1", ["-vv"], None),
            ("auto", ["-v"], GROUPS),
            ("auto", [], PLAIN),
        ],
    )
    def test_may_be_its_own(
        self, pytester: pytest.Pytester, value: str, flags: list[str], expected: str | None
    ) -> None:
        pytester.makeini(f"[pytest]\nverbosity_hiddencost = {value}")
        assert level(passes(pytester, [GIVEN, GIVEN_WITHIN], *flags)) == expected

    @pytest.mark.parametrize("flags", ["-q", "-qq"])
    def test_quiet_shows_a_broken_limit(self, pytester: pytest.Pytester, flags: str) -> None:
        result = run(pytester, [GIVEN, GIVEN_BEYOND], flags)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert level(result.stdout.str()) == PLAIN

    def test_quiet_shows_no_failure_that_was_expected(self, pytester: pytest.Pytester) -> None:
        """Nothing failed, so there is nothing to look at."""
        result = run(pytester, [GIVEN, "@pytest.mark.xfail\n" + GIVEN_BEYOND], "-q")
        result.assert_outcomes(xfailed=1)
        assert level(result.stdout.str()) is None

    def test_quiet_counts_what_is_inconclusive(self, pytester: pytest.Pytester) -> None:
        output = passes(pytester, [GIVEN, GIVEN_FEW], "-q")
        assert "\nhiddencost: 1 inconclusive; run without -q to see which\n" in output
        assert level(output) is None

    def test_quiet_says_nothing_where_all_is_decided(self, pytester: pytest.Pytester) -> None:
        assert "hiddencost:" not in passes(pytester, [GIVEN, GIVEN_WITHIN], "-q")

    def test_quiet_shows_a_test_that_strict_fails(self, pytester: pytest.Pytester) -> None:
        result = run(pytester, [GIVEN, GIVEN_FEW], "-q", "--hiddencost-strict")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert level(result.stdout.str()) == PLAIN

    def test_quiet_shows_a_limit_that_is_broken_late(self, pytester: pytest.Pytester) -> None:
        late = """
        @pytest.fixture
        def late(hiddencost):
            yield
            hiddencost(given(network()), X, label="late")

        @budget(macs="1 GMAC", label="early")
        @budget(macs=10)
        def test_it(hiddencost, late): hiddencost(given(network()), X, label="early")
        """
        result = run(pytester, [GIVEN, late], "-q")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert level(result.stdout.str()) == PLAIN

    @pytest.mark.parametrize("flags", ["-q", "-v", "-vv", None])
    def test_the_section_starts_without_a_gap(
        self, pytester: pytest.Pytester, flags: str | None
    ) -> None:
        output = run(pytester, [GIVEN, GIVEN_BEYOND], *filter(None, [flags])).stdout.str()
        assert section(output)[0].startswith("cpu: ")


def test_nothing_measured_no_section(pytester: pytest.Pytester) -> None:
    assert "hidden costs" not in passes(pytester, "def test_it(hiddencost): pass", "-vv")


# --- colours and width --------------------------------------------------------------------------


def test_colours_are_the_verdicts_and_do_not_move_columns(pytester: pytest.Pytester) -> None:
    output = run(pytester, THREE, "--color=yes").stdout.str()
    assert "\x1b[32mpass\x1b[0m" in output
    assert "\x1b[31mfail\x1b[0m" in output
    found = summary_rows(SGR.sub("", output))
    assert [row["verdict"] for row in found.values()] == ["pass", "-", "fail"]


@pytest.mark.usefixtures("_given")
def test_inconclusive_is_yellow_and_says_why(pytester: pytest.Pytester) -> None:
    tests = GIVEN_FEW.replace('p99="10 s"', 'p99="10 s", p95="10 s", p50="10 s"')
    output = run(pytester, [GIVEN, tests], "--color=yes").stdout.str()
    assert "\x1b[33minconclusive\x1b[0m" in output
    lines = section(SGR.sub("", output))
    reasons = [line for line in lines if line.startswith("test_it.py::test_it: ")]
    assert [line.split(" inconclusive: ")[0] for line in reasons] == [
        "test_it.py::test_it: p95",
        "test_it.py::test_it: p99",
    ]


# A failing, an inconclusive and some new calls; one whose structure varies, one without a formula.
EVERYTHING = """
@budget(macs=1, p99="10 s")
def test_beyond(hiddencost): hiddencost(Net().eval(), IMAGE)

def slow(x):
    time.sleep(0.001)
    return x + 1

@budget(p50="10 s", p95="10 s", p99="10 s", non_mac="100%", operators={"aten::add": "100%"})
def test_inconclusive_in_many_limits(hiddencost): hiddencost(slow, X, label="sleeps")

@budget(macs="1 GMAC")
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_that_varies(hiddencost, batch):
    hiddencost(given(network(structure_varies=True, uncosted=("mylib::fused_gemm",))), X)
"""


@pytest.mark.usefixtures("_given")
@pytest.mark.parametrize("columns", [80, 100, 120])
def test_no_line_of_the_summary_is_longer_than_the_terminal(
    pytester: pytest.Pytester, columns: int
) -> None:
    """With calls that fail, are inconclusive, are new; a baseline is asked for, none is there."""
    write_suite(pytester, [GIVEN, EVERYTHING])
    result = run_here(pytester, BRIEF, JSON, columns=columns)
    result.assert_outcomes(failed=1, passed=4)
    found = {v["verdict"] for entry in profiles(pytester).values() for v in entry["verdicts"]}
    assert found == {"pass", "fail", "inconclusive", "new"}
    lines = section(result.stdout.str())
    assert longest(lines) <= columns
    unwrapped = " ".join(" ".join(lines).split())
    for name in profiles(pytester):
        assert f"test_it.py::{name}" in unwrapped
    assert "the structure varies from call to call" in unwrapped
    assert "no MAC formula for mylib::fused_gemm" in unwrapped
    assert "new (5): " in unwrapped
    assert "test_it.py::test_inconclusive_in_many_limits sleeps: p99 inconclusive: " in unwrapped


def test_details_fit_a_wide_terminal(pytester: pytest.Pytester) -> None:
    result = run(pytester, CONV, "-vv", columns=120)
    lines = section(result.stdout.str())
    last = max(i for i, line in enumerate(lines) if line == "test_it.py::test_it")
    details = [line for line in lines[last:] if not line.startswith("profiler: ")]
    assert longest(details) <= 120


def test_long_names_keep_their_figures(pytester: pytest.Pytester) -> None:
    name = "test_" + "long_" * 40 + "name"
    output = passes(pytester, f"def {name}(hiddencost): hiddencost(MODEL, X)")
    lines = section(output)
    place = next(i for i, line in enumerate(lines) if line.startswith(f"test_it.py::{name}"))
    assert re.match(r" +[\d.]+  +[\d.]+ ", lines[place + 1])
