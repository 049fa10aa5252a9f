"""The terminal summary: what it shows at which verbosity, and that it prints what was stored."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.suites import RUN_FILE, longest, passes, profiles, run, run_file, section, tables_in

JSON = f"--hiddencost-json={RUN_FILE}"
THREE = """
@budget(p50="10 s")
def test_within(hiddencost): hiddencost(MODEL, X)

def test_free(hiddencost): hiddencost(BIG, ROWS, label="64 rows")

@pytest.mark.xfail
@budget(macs=1)
def test_beyond(hiddencost): hiddencost(Net().eval(), IMAGE)
"""
WITHIN = '@budget(p50="10 s")\ndef test_it(hiddencost): hiddencost(MODEL, X)'
BEYOND = "@budget(macs=1)\ndef test_it(hiddencost): hiddencost(MODEL, X)"
CONV = "def test_it(hiddencost): hiddencost(Net().eval(), IMAGE)"
ONE_THREAD = "--hiddencost-threads=1"
SGR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def summary_rows(output: str) -> dict[str, dict[str, str]]:
    """The summary's rows by test: cells by header."""
    head, *rows = tables_in(section(output))[0]
    rows = [row for row in rows if "::" in row[0] and len(row[-1].split()) == 1]
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


# --- one row per profile ------------------------------------------------------------------------


def test_a_row_for_every_profile(pytester: pytest.Pytester) -> None:
    output = run(pytester, THREE, ONE_THREAD).stdout.str()
    found = summary_rows(output)
    assert {name: row["verdict"] for name, row in found.items()} == {
        "test_it.py::test_within": "pass",
        "test_it.py::test_free 64 rows": "-",
        "test_it.py::test_beyond": "fail",
    }


def test_columns(pytester: pytest.Pytester) -> None:
    [row] = summary_rows(passes(pytester, WITHIN)).values()
    expected = ("p50 .?s", "p95 .?s", "MAC", ".?MAC/s", "non-MAC", "largest hidden cost", "peak B")
    for name, pattern in zip(row, ["test", *expected, "verdict"], strict=True):
        assert re.fullmatch(pattern, name)
    assert row["MAC"] == "128"
    assert row["peak B"] == "128"


def number(row: dict[str, str], pattern: str) -> tuple[float, str]:
    """The number in the one column whose header matches, and the unit of that header."""
    [(name, text)] = [(n, t) for n, t in row.items() if re.fullmatch(pattern, n)]
    return float(text.removesuffix(" %")), name.rpartition(" ")[2]


SCALE = {
    "ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9, "MAC": 1.0, "kMAC": 1e3, "MMAC": 1e6,
    "kMAC/s": 1e3, "MMAC/s": 1e6, "GMAC/s": 1e9, "B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20,
}  # fmt: skip


def test_what_is_printed_is_what_is_stored(pytester: pytest.Pytester) -> None:
    """To three digits, in the unit that the header names."""
    output = run(pytester, THREE, ONE_THREAD, JSON).stdout.str()
    found = summary_rows(output)
    stored = profiles(pytester)
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
            assert printed * SCALE[unit] == pytest.approx(value, rel=0.006), pattern
        printed, _ = number(row, "non-MAC")
        assert printed / 100 == pytest.approx(entry["non_mac_share"], rel=0.006)


def test_largest_hidden_cost(pytester: pytest.Pytester) -> None:
    run_output = passes(pytester, "def test_it(hiddencost): hiddencost(BIG, ROWS)", JSON)
    [row] = summary_rows(run_output).values()
    entry = profiles(pytester)["test_it"]
    hidden = {o["name"]: o["self_ns"] * (1 - o["mac_share"]) for o in entry["operators"]}
    hidden["outside"] = entry["outside_ns"]
    name = max(hidden, key=lambda key: hidden[key])
    text, _, share = row["largest hidden cost"].partition(" ")
    assert text == name.removeprefix("aten::")
    printed = float(share.removesuffix(" %")) / 100
    assert printed == pytest.approx(hidden[name] / entry["latency"]["median_ns"], rel=0.006)


def test_device_line(pytester: pytest.Pytester) -> None:
    output = passes(pytester, WITHIN, ONE_THREAD, JSON)
    device = run_file(pytester.path)["device"]
    assert section(output)[0] == (
        f"cpu: {device['model']}, {device['cores']} cores, 1 thread, torch {device['torch']}"
    )


def test_nothing_measured_no_section(pytester: pytest.Pytester) -> None:
    assert "hidden costs" not in passes(pytester, "def test_it(hiddencost): pass", "-vv")


# --- verbosity ----------------------------------------------------------------------------------

PLAIN, GROUPS, INSIDES = "plain", "groups", "insides"


def level(output: str) -> str | None:
    """How much the summary shows."""
    if "hidden costs" not in output:
        return None
    lines = section(output)
    groups = any(line.split() == ["group", "calls", "time", "share"] for line in lines)
    insides = any(line.startswith("inside aten::") for line in lines)
    operators = any(line.startswith("operator ") for line in lines)
    assert operators == insides
    return {(False, False): PLAIN, (True, False): GROUPS, (True, True): INSIDES}[groups, insides]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("-qq", None), ("-q", None), (None, PLAIN), ("-v", GROUPS), ("-vv", INSIDES)],
)
def test_verbosity(pytester: pytest.Pytester, flags: str | None, expected: str | None) -> None:
    output = passes(pytester, WITHIN, *filter(None, [flags])) if flags != "-qq" else ""
    if flags == "-qq":
        result = run(pytester, WITHIN, flags)
        assert result.ret == 0
        output = result.stdout.str()
    assert level(output) == expected


@pytest.mark.parametrize("flags", ["-q", "-qq"])
def test_quiet_shows_it_when_a_limit_is_broken(pytester: pytest.Pytester, flags: str) -> None:
    result = run(pytester, BEYOND, flags)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert level(result.stdout.str()) == PLAIN


def test_quiet_hides_it_when_the_failure_was_expected(pytester: pytest.Pytester) -> None:
    """Nothing failed, so there is nothing to look at."""
    result = run(pytester, "@pytest.mark.xfail\n" + BEYOND, "-q")
    result.assert_outcomes(xfailed=1)
    assert level(result.stdout.str()) is None


def test_quiet_shows_it_when_strict_fails_a_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def slow(x):
            time.sleep(0.002)
            return x

        @budget(p99="10 s")
        def test_it(hiddencost): hiddencost(slow, X)
        """,
        "-q",
        "--hiddencost-strict",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert level(result.stdout.str()) == PLAIN


def test_quiet_shows_it_when_a_limit_is_broken_late(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.fixture
        def late(hiddencost):
            yield
            hiddencost(MODEL, X, label="late")

        @budget(macs=10)
        def test_it(hiddencost, late): hiddencost(nn.Linear(2, 2).eval(), torch.ones(1, 2))
        """,
        "-q",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert level(result.stdout.str()) == PLAIN


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
def test_verbosity_of_its_own(
    pytester: pytest.Pytester, value: str, flags: list[str], expected: str | None
) -> None:
    pytester.makeini(f"[pytest]\nverbosity_hiddencost = {value}")
    assert level(passes(pytester, WITHIN, *flags)) == expected


@pytest.mark.parametrize("flags", ["-q", "-v", "-vv", None])
def test_section_starts_without_a_gap(pytester: pytest.Pytester, flags: str | None) -> None:
    output = run(pytester, BEYOND, *filter(None, [flags])).stdout.str()
    assert section(output)[0].startswith("cpu: ")


# --- groups, operators, insides -----------------------------------------------------------------


def tables(output: str) -> dict[str, list[list[str]]]:
    """The rows of every table by the header of its first column."""
    return {table[0][0]: table[1:] for table in tables_in(section(output))}


def seconds(text: str) -> float:
    """Nanoseconds of a printed time."""
    value, unit = text.removeprefix("~").split()
    return float(value) * SCALE[unit]


def test_groups_add_up_to_the_latency(pytester: pytest.Pytester) -> None:
    output = passes(pytester, CONV, ONE_THREAD, "-v", JSON)
    entry = profiles(pytester)["test_it"]
    found = tables(output)["group"]
    assert {row[0] for row in found} >= {"mac", "normalization", "activation", "outside"}
    total = sum(seconds(row[-2]) for row in found)
    residual = abs(entry["profiler"]["residual_share"])
    assert total == pytest.approx(entry["latency"]["median_ns"], rel=0.01 + residual)
    times = [seconds(row[-2]) for row in found]
    assert times == sorted(times, reverse=True)


def test_mac_kinds(pytester: pytest.Pytester) -> None:
    output = passes(pytester, CONV, ONE_THREAD, "-v")
    [row] = tables(output)["MAC kind"]
    assert row[:3] == ["conv2d 3x3", "1", "7.78 kMAC"]


def test_operators_are_all_there(pytester: pytest.Pytester) -> None:
    output = passes(pytester, CONV, ONE_THREAD, "-vv", JSON)
    entry = profiles(pytester)["test_it"]
    printed = {row[0]: row for row in tables(output)["operator"]}
    outside = printed.pop("outside")
    assert seconds(outside[2]) == pytest.approx(entry["outside_ns"], rel=0.006)
    stored = {o["name"]: o for o in entry["operators"]}
    assert printed.keys() == stored.keys()
    for name, row in printed.items():
        assert int(row[1]) == stored[name]["calls"]
        assert seconds(row[2]) == pytest.approx(stored[name]["self_ns"], rel=0.006, abs=0.01)


def test_insides_are_those_of_the_composites(pytester: pytest.Pytester) -> None:
    output = passes(pytester, CONV, ONE_THREAD, "-vv", JSON)
    composites: list[dict[str, Any]] = profiles(pytester)["test_it"]["composites"]
    composite = next(c for c in composites if c["name"] == "aten::conv2d")
    [printed] = [t for head, t in tables(output).items() if head.startswith("inside aten::conv2d")]
    assert [(row[0], int(row[1])) for row in printed] == [
        (cost["name"], cost["calls"]) for cost in composite["inside"]
    ]
    shares = [float(row[-1].removesuffix(" %")) for row in printed]
    assert sum(shares) == pytest.approx(100, abs=1)


def test_one_call_is_not_calls(pytester: pytest.Pytester) -> None:
    output = passes(pytester, WITHIN, "-vv")
    assert "(1 calls)" not in output


def test_profiler_line(pytester: pytest.Pytester) -> None:
    output = passes(pytester, WITHIN, "-vv", JSON)
    entry = profiles(pytester)["test_it"]
    cost = entry["profiler"]
    [line] = [line for line in section(output) if line.startswith("profiler: ")]
    assert f"{cost['events']} events in each of {cost['windows']} windows" in line
    assert f"{len(entry['latency']['samples_ns'])} timed calls" in line
    assert "took -" not in line, "negative is not longer"


# --- colours and width --------------------------------------------------------------------------


def test_colours_are_the_verdicts_and_do_not_move_columns(pytester: pytest.Pytester) -> None:
    output = run(pytester, THREE, ONE_THREAD, "--color=yes").stdout.str()
    assert "\x1b[32mpass\x1b[0m" in output
    assert "\x1b[31mfail\x1b[0m" in output
    found = summary_rows(SGR.sub("", output))
    assert [row["verdict"] for row in found.values()] == ["pass", "-", "fail"]


def test_inconclusive_is_yellow_and_says_why(pytester: pytest.Pytester) -> None:
    output = run(
        pytester,
        """
        def slow(x):
            time.sleep(0.002)
            return x

        @budget(p99="10 s", p95="10 s", p50="10 s")
        def test_it(hiddencost): hiddencost(slow, X)
        """,
        "--color=yes",
    ).stdout.str()
    assert "\x1b[33minconclusive\x1b[0m" in output
    lines = section(SGR.sub("", output))
    reasons = [line for line in lines if line.startswith("test_it.py::test_it: ")]
    assert [line.split(" inconclusive: ")[0] for line in reasons] == [
        "test_it.py::test_it: p95",
        "test_it.py::test_it: p99",
    ]


def test_no_colours_when_redirected(pytester: pytest.Pytester) -> None:
    assert "\x1b[" not in run(pytester, THREE, ONE_THREAD).stdout.str()


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_rows_fit_the_terminal(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = run(pytester, THREE, ONE_THREAD)
    lines = section(result.stdout.str())[1:]
    assert longest(lines) <= columns
    for name in ("test_within", "test_free 64 rows", "test_beyond"):
        assert any(line.startswith(f"test_it.py::{name}") for line in lines)


def test_details_fit_a_wide_terminal(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    output = passes(pytester, CONV, ONE_THREAD, "-vv")
    lines = section(output)
    last = max(i for i, line in enumerate(lines) if line == "test_it.py::test_it")
    details = lines[last:]
    assert longest([line for line in details if not line.startswith("profiler: ")]) <= 120


def test_long_names_keep_their_figures(pytester: pytest.Pytester) -> None:
    name = "test_" + "long_" * 40 + "name"
    output = passes(pytester, f"def {name}(hiddencost): hiddencost(MODEL, X)")
    lines = section(output)
    place = next(i for i, line in enumerate(lines) if line.startswith(f"test_it.py::{name}"))
    assert re.match(r" +[\d.]+  +[\d.]+ ", lines[place + 1])
