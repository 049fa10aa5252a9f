"""A marker that cannot be understood: an error of that one test, naming what, where, what else."""

from __future__ import annotations

import pytest

from tests.suites import JUNIT, NEIGHBOUR, Finished, run, run_apart

KEYWORDS = "p50, p95, p99, non_mac, operators, mac_rate, macs, activation_memory"
DURATION = "accepted is a duration (ns, us, µs, ms, s), such as '15 ms'"
CALLS_TOO = "a share (%) or a duration (ns, us, µs, ms, s) or a number of calls (calls, call)"

# The marker as written, then what the message must say.
BAD = {
    "unknown keyword": ('p75="1 ms"', ["latency_budget(p75=...)", "no such keyword", KEYWORDS]),
    "misspelt keyword": (
        'activation_memmory="1 MiB"',
        ["latency_budget(activation_memmory=...)", "did you mean 'activation_memory'?"],
    ),
    "positional": ('"15 ms"', ["keyword arguments only", "'15 ms'", 'latency_budget(p50="15 ms")']),
    "empty": ("", ["latency_budget() sets no limit", f"at least one of {KEYWORDS}"]),
    "label alone": ('label="a"', ["latency_budget() sets no limit", KEYWORDS]),
    "no unit": ('p50="15"', ["(p50=...)", "'15' has no unit", "did you mean '15 ms'?", DURATION]),
    "number": ("p95=15", ["(p95=...)", "15 has no unit", "did you mean '15 ms'?", DURATION]),
    "fraction": ("p99=1.5", ["(p99=...)", "1.5 has no unit", "did you mean '1.5 ms'?", DURATION]),
    "no such unit": ('p50="15 parsecs"', ["(p50=...)", "unknown unit 'parsecs'", DURATION]),
    "spelled out": ('p50="15 seconds"', ["unknown unit 'seconds'", "did you mean '15 s'?"]),
    "wrong case": ('p50="15 MS"', ["unknown unit 'MS'", "did you mean '15 ms'?"]),
    "negative": ('p50="-3 ms"', ["(p50=...)", "'-3 ms' is negative", DURATION]),
    "nan": ('p50="nan"', ["(p50=...)", "'nan' is not a finite number", DURATION]),
    "nan with unit": ('p50="nan ms"', ["'nan ms' is not a finite number", DURATION]),
    "infinite": ('p50="inf s"', ["'inf s' is not a finite number", DURATION]),
    "infinite number": ('p50=float("inf")', ["inf is not a finite number", DURATION]),
    "too many digits": ('p50="1e999 s"', ["'1e999 s' is not a finite number", DURATION]),
    "blank": ('p50=""', ["(p50=...)", "'' is empty", DURATION]),
    "no number": ('p50="fast"', ["'fast' is not a number and a unit", DURATION]),
    "two quantities": ('p50="1 ms 2 ms"', ["(p50=...)", "'1 ms 2 ms'", DURATION]),
    "list": ('p50=["1 ms"]', ["(p50=...)", "is no quantity but of type list", DURATION]),
    "boolean": ("p50=True", ["(p50=...)", "True is no quantity but of type bool", DURATION]),
    "size for a time": ('p50="3 MiB"', ["(p50=...)", "'3 MiB' is a size", DURATION]),
    "share for a time": ('p50="5%"', ["(p50=...)", "'5%' is a share", DURATION]),
    "size for a share": ('non_mac="3 MiB"', ["(non_mac=...)", "is a size", "a share (%) or"]),
    "share above one": ('non_mac="150%"', ["(non_mac=...)", "'150%' is more than 100 %"]),
    "share as number": ("non_mac=0.35", ["(non_mac=...)", "did you mean '35 %'?"]),
    "time for MACs": ('macs="3 ms"', ["(macs=...)", "is a duration", "MAC, kMAC, MMAC, GMAC"]),
    "fraction of a MAC": ("macs=1.5", ["(macs=...)", "1.5 has no unit", "a number of MACs"]),
    "MACs below zero": ("macs=-1", ["(macs=...)", "-1 is negative", "a number of MACs"]),
    "MACs for a rate": ('mac_rate="3 GMAC"', ["(mac_rate=...)", "is a number of MACs", "GMAC/s"]),
    "rate of zero": ("mac_rate=0", ["(mac_rate=...)", "at least 0 is no limit", "above 0"]),
    "size without unit": (
        'activation_memory="24"',
        ["(activation_memory=...)", "'24' has no unit", "did you mean '24 MiB'?", "KiB"],
    ),
    "operators as text": (
        'operators="aten::cat"',
        ["(operators=...)", "expected a mapping", '{"aten::cat": "5%"}', "got 'aten::cat'"],
    ),
    "no operators": ("operators={}", ["(operators=...)", "expected a mapping", "got {}"]),
    "operators without unit": (
        'operators={"aten::cat": "12"}',
        ["(operators={'aten::cat': ...})", "'12' has no unit", CALLS_TOO],
    ),
    "operators in bytes": (
        'operators={"aten::cat": "12 B"}',
        ["(operators={'aten::cat': ...})", "is a size", CALLS_TOO],
    ),
    "half a call": ('operators={"aten::cat": "1.5 calls"}', ["'1.5 calls' is not a whole number"]),
    "unknown group": (
        'operators={"normalisation": "5%"}',
        ["no group 'normalisation'", "did you mean 'normalization'?", "Groups: mac, norm"],
    ),
    "operator without namespace": (
        'operators={"conv2d": "5%"}',
        ["no group 'conv2d'", "an operator is written 'aten::conv2d'", "Groups: mac, norm"],
    ),
    "key of another type": ('operators={3: "5%"}', ["expected an operator, glob or group", "3"]),
    "empty key": ('operators={"": "5%"}', ["expected an operator, glob or group as key, got ''"]),
    "label of another type": ('macs="1 GMAC", label=3', ["(label=...)", "non-empty string, got 3"]),
    "empty label": ('macs="1 GMAC", label=""', ["(label=...)", "non-empty string, got ''"]),
    "second limit wrong": ('p50="1 s", p95="1"', ["(p95=...)", "'1' has no unit"]),
}


@pytest.fixture(scope="module", params=[(), ("-n2",)], ids=["plain", "two workers"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """All of them in one run, among tests that have nothing wrong."""
    folder = tmp_path_factory.mktemp("bad_markers")
    marked = "\n".join(
        f"    pytest.param(marks=budget({marker}), id={name!r}),"
        for name, (marker, _) in BAD.items()
    )
    bad = f"""
@pytest.mark.parametrize((), [
{marked}
])
def test_bad(hiddencost):
    raise RuntimeError("the body was run")
"""
    tests = [NEIGHBOUR, bad, "def test_unused(): pass"]
    return run_apart(folder, tests, f"--junitxml={JUNIT}", *request.param)


@pytest.mark.parametrize("name", BAD)
def test_error_names_what_where_and_what_is_accepted(finished: Finished, name: str) -> None:
    message = finished.message(f"test_bad[{name}]")
    lines = [line for line in message.splitlines() if "latency_budget" in line]
    for part in BAD[name][1]:
        assert part in lines[0]


def test_only_those_tests_are_errors(finished: Finished) -> None:
    assert finished.code == 1
    outcomes = finished.outcomes
    assert {name for name, outcome in outcomes.items() if outcome == "error"} == {
        f"test_bad[{name}]" for name in BAD
    }
    assert [name for name, o in outcomes.items() if o == "passed"] == [
        "test_neighbour",
        "test_unused",
    ]


def test_every_error_is_said_once_and_shows_no_source_of_ours(finished: Finished) -> None:
    said = [line for line in finished.stdout.splitlines() if line.startswith("hiddencost: ")]
    assert len(said) == len(BAD)
    assert "the body was run" not in finished.output
    assert "Traceback" not in finished.output
    assert "pytest_hiddencost/" not in finished.output


def test_error_of_a_test_that_does_not_use_the_fixture(pytester: pytest.Pytester) -> None:
    result = run(pytester, ['@budget(p50="15")\ndef test_bad(): pass', NEIGHBOUR])
    result.assert_outcomes(errors=1, passed=1)
    assert "'15' has no unit" in result.stdout.str()


def test_error_of_one_parameter(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @pytest.mark.parametrize("model", [
            pytest.param(MODEL, marks=budget(p50="15"), id="bad"),
            pytest.param(MODEL, marks=budget(p50="15 s"), id="good"),
        ])
        def test_one(hiddencost, model):
            hiddencost(model, X)
        """,
    )
    result.assert_outcomes(errors=1, passed=1)
    assert "ERROR at setup of test_one[bad]" in result.stdout.str()


def test_bad_marker_of_a_class_is_an_error_of_each_of_its_tests(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        [
            """
        @budget(p50="15")
        class TestModels:
            def test_one(self, hiddencost): hiddencost(MODEL, X)

            @budget(p50="10 s")
            def test_with_its_own(self, hiddencost): hiddencost(MODEL, X)
        """,
            NEIGHBOUR,
        ],
    )
    result.assert_outcomes(errors=2, passed=1)
