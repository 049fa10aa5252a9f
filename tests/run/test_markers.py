"""The marker: what it takes, and what it answers to a mistake."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pytest_hiddencost
from pytest_hiddencost import plugin
from pytest_hiddencost.core.checks import LIMIT, OPERATORS, Check
from pytest_hiddencost.core.errors import HiddenCostError, MarkerError, UnitError
from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.budgets import Budget
from pytest_hiddencost.judge.quantities import Limit
from pytest_hiddencost.run.markers import (
    accepted_keywords,
    budget_from_marker,
    budgets_of,
    latency_budget,
)
from tests.profiles import patient
from tests.suites import NEIGHBOUR, Finished, finished_here, run

KEYWORDS = [
    "p50", "p95", "p99", "non_mac", "operators", "mac_rate", "macs", "activation_memory",
    "energy", "regression", "label",
]  # fmt: skip


def budget(*args: Any, **kwargs: Any) -> Budget:
    return budget_from_marker(args, kwargs)


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(HiddenCostError) as error:
        budget(*args, **kwargs)
    message = str(error.value)
    assert message.startswith("latency_budget")
    assert "\n" not in message
    return message


# --- what it takes -----------------------------------------------------------------------------


def test_the_example_of_the_documentation() -> None:
    found = budget(
        p50="15 ms",
        p95="20 ms",
        non_mac="35%",
        operators={"aten::cat": "5%", "data_movement": "0.4 ms", "aten::copy_": "12 calls"},
        mac_rate="3 GMAC/s",
        activation_memory="24 MiB",
    )
    assert found.label is None
    assert found.limits == (
        Limit(Check(LIMIT, "p50"), "duration", 15e6),
        Limit(Check(LIMIT, "p95"), "duration", 20e6),
        Limit(Check(LIMIT, "non_mac"), "share", 0.35),
        Limit(Check(OPERATORS, "aten::cat"), "share", 0.05),
        Limit(Check(OPERATORS, "data_movement"), "duration", 4e5),
        Limit(Check(OPERATORS, "aten::copy_"), "calls", 12),
        Limit(Check(LIMIT, "mac_rate"), "mac_rate", 3e9, at_least=True),
        Limit(Check(LIMIT, "activation_memory"), "bytes", 24 * 2**20),
    )


@pytest.mark.parametrize(
    ("keyword", "text", "value"),
    [
        ("p50", "1.5 us", 1500), ("p95", "2 s", 2e9), ("p99", "250 µs", 250_000), ("p50", 0, 0),
        ("non_mac", "35 %", 0.35), ("non_mac", "2 ms", 2e6), ("non_mac", "0%", 0),
        ("mac_rate", "500 MMAC/s", 5e8), ("macs", 46_446_592, 46_446_592), ("macs", "1 GMAC", 1e9),
        ("activation_memory", "1 MB", 10**6), ("activation_memory", "0", 0),
        ("energy", "12 mJ", 12e6), ("energy", "1.5 µJ", 1500),
    ],
)  # fmt: skip
def test_each_quantity_alone_is_a_budget(keyword: str, text: object, value: float) -> None:
    (limit,) = budget(**{keyword: text}).limits
    assert limit.check == Check(LIMIT, keyword)
    assert limit.value == value


@pytest.mark.parametrize(
    "key",
    ["aten::cat", "mylib::fused", "aten::*copy*", "*norm*", "aten::ad[dn]", "aten::?m", *GROUPS],
)
def test_operators_are_named_by_name_glob_or_group(key: str) -> None:
    (limit,) = budget(operators={key: "5%"}).limits
    assert limit.check == Check(OPERATORS, key)
    assert str(limit.check) == f"operators[{key}]"


def test_a_label_says_which_call_is_meant() -> None:
    assert budget(p50="1 s", label="batch 1").label == "batch 1"


def test_an_argument_that_is_none_is_not_given() -> None:
    assert budget(p50="1 s", p95=None, operators=None, label=None) == budget(p50="1 s")


def test_the_public_name_is_the_markers_function() -> None:
    assert pytest_hiddencost.latency_budget is latency_budget
    assert latency_budget(p50="1 s") == budget(p50="1 s")


# --- what it says of itself --------------------------------------------------------------------


def test_the_marker_line_is_the_functions_signature() -> None:
    declared, _, explanation = plugin.MARKER_LINE.partition("): ")
    line = ast.parse(f"def {declared}): ...").body[0]
    assert isinstance(line, ast.FunctionDef)
    shown = [(a.arg, ast.literal_eval(d)) for a, d in
             zip(line.args.kwonlyargs, line.args.kw_defaults, strict=True) if d]  # fmt: skip
    parameters = inspect.signature(latency_budget).parameters.values()
    assert line.name == plugin.MARKER == latency_budget.__name__
    assert shown == [(p.name, p.default) for p in parameters]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters)
    assert not line.args.args
    assert not line.args.posonlyargs
    assert explanation


def test_the_examples_of_the_marker_line_are_accepted() -> None:
    _, _, explanation = plugin.MARKER_LINE.partition("each with its unit: ")
    call = ast.parse(f"f({explanation.rstrip('.')})", mode="eval").body
    assert isinstance(call, ast.Call)
    examples = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    assert examples.pop("regression") == "5%"
    assert len(budget(**examples).limits) == len(examples) - 1 + len(examples["operators"])


def test_the_keywords_are_those_of_the_documentation() -> None:
    assert accepted_keywords() == KEYWORDS


# --- mistakes ----------------------------------------------------------------------------------


def test_a_positional_argument_is_refused_with_an_example() -> None:
    message = refusal("15 ms")
    assert "keyword arguments only, got '15 ms'" in message
    assert 'latency_budget(p50="15 ms")' in message


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("p90", "p9"), ("non_macs", "non_mac"), ("operator", "operators"), ("mac_rates", "mac_rate"),
     ("activation_mem", "activation_memory"), ("lable", "label")],
)  # fmt: skip
def test_a_misspelled_keyword_gets_a_suggestion(typo: str, meant: str) -> None:
    message = refusal(**{typo: "5%"})
    assert f"latency_budget({typo}=...): no such keyword" in message
    assert f"did you mean {meant!r}"[:-1] in message
    assert all(keyword in message for keyword in KEYWORDS)


def test_an_unlike_keyword_gets_the_list_alone() -> None:
    message = refusal(throughput="5 /s")
    assert "did you mean" not in message
    assert f"accepted: {', '.join(KEYWORDS)}" in message


@pytest.mark.parametrize("kwargs", [{}, {"label": "b1"}, {"p50": None}])
def test_a_marker_without_a_limit_is_refused(kwargs: dict[str, Any]) -> None:
    message = refusal(**kwargs)
    assert "sets no limit: give at least one of p50, p95, p99," in message
    assert "label" not in message.partition("give at least")[2]


@pytest.mark.parametrize(
    ("keyword", "value", "accepted"),
    [
        ("p50", "35%", "a duration"),
        ("p50", 15, "a duration"),
        ("p95", "15", "a duration"),
        ("p99", "fast", "a duration"),
        ("p99", ["15 ms"], "a duration"),
        ("non_mac", 0.35, "a share (%) or a duration"),
        ("non_mac", "120%", "a share (%) or a duration"),
        ("non_mac", "3 calls", "a share (%) or a duration"),
        ("mac_rate", "3 GMAC", "a MAC rate"),
        ("mac_rate", "-3 GMAC/s", "a MAC rate"),
        ("macs", "3 GFLOP", "a number of MACs"),
        ("macs", 4.6e7, "a number of MACs"),
        ("macs", True, "a number of MACs"),
        ("activation_memory", "24", "a size"),
        ("activation_memory", "24 ms", "a size"),
    ],
)
def test_a_bad_value_is_named_with_its_argument_and_what_is_accepted(
    keyword: str, value: object, accepted: str
) -> None:
    message = refusal(**{keyword: value})
    assert message.startswith(f"latency_budget({keyword}=...): ")
    assert repr(value) in message
    assert f"accepted is {accepted}" in message


@pytest.mark.parametrize("value", ["5 GMAC/s", 5, None, "5", "120%"])
def test_a_bad_operator_limit_is_named_with_its_key(value: object) -> None:
    message = refusal(operators={"aten::cat": "5%", "aten::add": value})
    assert message.startswith("latency_budget(operators={'aten::add': ...}): ")
    assert repr(value) in message
    assert "a share (%) or a duration (" in message
    assert "a number of calls" in message


@pytest.mark.parametrize(
    "value", ["5%", ["aten::cat"], {}, {"aten::cat"}, 5, [("aten::cat", "5%")]]
)
def test_operators_are_a_mapping_with_something_in_it(value: object) -> None:
    message = refusal(operators=value)
    assert message.startswith("latency_budget(operators=...): expected a mapping")
    assert '{"aten::cat": "5%"}' in message
    assert f"got {value!r}" in message


@pytest.mark.parametrize("key", ["", 5, None, ("aten::cat",)])
def test_an_operator_key_is_a_text(key: object) -> None:
    message = refusal(operators={key: "5%"})
    assert message.startswith("latency_budget(operators=...): expected an operator, glob or group")
    assert f"got {key!r}" in message


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("data_movements", "did you mean 'data_movement'?"),
        ("normalisation", "did you mean 'normalization'?"),
        ("cat", "an operator is written 'aten::cat'"),
        ("conv2d", "an operator is written 'aten::conv2d'"),
    ],
)
def test_a_word_that_is_no_group_gets_a_hint(key: str, hint: str) -> None:
    message = refusal(operators={key: "5%"})
    assert f"no group {key!r}" in message
    assert hint in message
    assert all(group in message for group in GROUPS)


@pytest.mark.parametrize("value", [0, "0", "0 GMAC/s"])
def test_a_rate_of_at_least_nothing_is_no_limit(value: object) -> None:
    message = refusal(mac_rate=value)
    assert message.startswith("latency_budget(mac_rate=...): ")
    assert "0 is not a limit; give a rate above 0" in message


@pytest.mark.parametrize("label", ["", 5, ["b1"]])
def test_a_label_is_a_text(label: object) -> None:
    message = refusal(p50="1 s", label=label)
    assert message == f"latency_budget(label=...): expected a non-empty string, got {label!r}"


def test_a_mistake_is_an_error_of_the_kind_python_raises() -> None:
    with pytest.raises(TypeError):
        budget("15 ms")
    with pytest.raises(ValueError, match="p50"):
        budget(p50="15")
    assert issubclass(MarkerError, HiddenCostError)
    assert issubclass(UnitError, HiddenCostError)


# --- several markers ---------------------------------------------------------------------------


def marked(**kwargs: Any) -> pytest.Mark:
    mark: pytest.Mark = pytest.mark.latency_budget.with_args(**kwargs).mark
    return mark


def in_order(*levels: list[pytest.Mark]) -> list[tuple[str, str | None]]:
    return [(f"{found.limits[0].value / 1e6:g} ms", found.label) for found in budgets_of(levels)]


def test_the_closest_marker_comes_first() -> None:
    function, owner, module = (marked(p50=f"{n} ms") for n in (1, 2, 3))
    assert in_order([function], [owner], [], [module]) == [
        ("1 ms", None), ("2 ms", None), ("3 ms", None),
    ]  # fmt: skip


@pytest.mark.parametrize("turn", [1, -1])
def test_of_one_level_a_marker_for_one_call_goes_before_one_for_all(turn: int) -> None:
    level = [marked(p50="1 ms"), marked(p50="2 ms", label="b1"), marked(p50="3 ms", label="b8")]
    found = in_order(level[::turn], [marked(p50="4 ms", label="b1")])
    assert set(found[:2]) == {("2 ms", "b1"), ("3 ms", "b8")}
    assert found[2:] == [("1 ms", None), ("4 ms", "b1")]


def test_without_markers_there_are_no_budgets() -> None:
    assert budgets_of([]) == ()
    assert budgets_of([[], []]) == ()


@pytest.mark.parametrize(("label", "about"), [(None, "all calls"), ("b1", "label='b1'")])
def test_two_markers_of_one_level_for_the_same_call_are_refused(
    label: str | None, about: str
) -> None:
    level = [marked(p50="1 ms", label=label), marked(p95="2 ms", label=label)]
    with pytest.raises(MarkerError, match="two latency_budget markers") as error:
        budgets_of([level])
    assert f"are about {about}: " in str(error.value)
    assert "put their limits into one" in str(error.value)


def test_every_marker_is_read_even_one_that_a_closer_one_hides() -> None:
    with pytest.raises(UnitError, match="p95"):
        budgets_of([[marked(p50="1 ms")], [marked(p95="fast")]])
    with pytest.raises(MarkerError, match="keyword arguments only"):
        budgets_of([[marked(p50="1 ms")], [pytest.mark.latency_budget("1 ms").mark]])


# --- mistakes in a run ----------------------------------------------------------------------------

QUANTITIES = "p50, p95, p99, non_mac, operators, mac_rate, macs, activation_memory"
DURATION = "accepted is a duration (ns, us, µs, ms, s), such as '15 ms'"
CALLS_TOO = "a share (%) or a duration (ns, us, µs, ms, s) or a number of calls (calls, call)"

# The marker as written, then what the message must say.
BAD = {
    "unknown keyword": ('p75="1 ms"', ["latency_budget(p75=...)", "no such keyword", QUANTITIES]),
    "misspelt keyword": (
        'activation_memmory="1 MiB"',
        ["latency_budget(activation_memmory=...)", "did you mean 'activation_memory'?"],
    ),
    "positional": ('"15 ms"', ["keyword arguments only", "'15 ms'", 'latency_budget(p50="15 ms")']),
    "empty": ("", ["latency_budget() sets no limit", f"at least one of {QUANTITIES}"]),
    "label alone": ('label="a"', ["latency_budget() sets no limit", QUANTITIES]),
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
    "list": ('p50=["1 ms"]', ["(p50=...)", "has the type list", DURATION]),
    "boolean": ("p50=True", ["(p50=...)", "True has the type bool", DURATION]),
    "size for a time": ('p50="3 MiB"', ["(p50=...)", "'3 MiB' is a size", DURATION]),
    "share for a time": ('p50="5%"', ["(p50=...)", "'5%' is a share", DURATION]),
    "size for a share": ('non_mac="3 MiB"', ["(non_mac=...)", "is a size", "a share (%) or"]),
    "share above one": ('non_mac="150%"', ["(non_mac=...)", "'150%' is more than 100 %"]),
    "share as number": ("non_mac=0.35", ["(non_mac=...)", "did you mean '35 %'?"]),
    "time for MACs": ('macs="3 ms"', ["(macs=...)", "is a duration", "MAC, kMAC, MMAC, GMAC"]),
    "fraction of a MAC": ("macs=1.5", ["(macs=...)", "1.5 has no unit", "a number of MACs"]),
    "MACs below zero": ("macs=-1", ["(macs=...)", "-1 is negative", "a number of MACs"]),
    "MACs for a rate": ('mac_rate="3 GMAC"', ["(mac_rate=...)", "is a number of MACs", "GMAC/s"]),
    "rate of zero": ("mac_rate=0", ["(mac_rate=...)", "0 is not a limit", "above 0"]),
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


@pytest.fixture(scope="module")
def kept_runs() -> dict[str, Finished]:
    """Runs that several tests look at."""
    return {}


@pytest.fixture
def bad_markers(kept_runs: dict[str, Finished], pytester: pytest.Pytester) -> Finished:
    """All of them in one run, among tests that have nothing wrong."""
    if not kept_runs:
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
        misspelt = """
@pytest.mark.latency_budgets(p50="1 s")
def test_misspelt(hiddencost):
    raise RuntimeError("the body was run")
"""
        tests = [NEIGHBOUR, bad, misspelt, "def test_unused(): pass"]
        kept_runs["bad markers"] = finished_here(pytester, tests)
    return kept_runs["bad markers"]


@pytest.mark.xdist_group("bad markers")
class TestBadMarkers:
    """An error of that one test, naming what, where and what is accepted."""

    @pytest.mark.parametrize("name", BAD)
    def test_the_error_names_what_where_and_what_is_accepted(
        self, bad_markers: Finished, name: str
    ) -> None:
        message = bad_markers.message(f"test_bad[{name}]")
        line = next(line for line in message.splitlines() if "latency_budget" in line)
        assert [part for part in BAD[name][1] if part not in line] == []

    def test_only_those_tests_are_errors(self, bad_markers: Finished) -> None:
        assert bad_markers.code == 1
        expected = {f"test_bad[{name}]": "error" for name in BAD}
        expected |= {"test_misspelt": "error", "test_neighbour": "passed", "test_unused": "passed"}
        assert bad_markers.outcomes == expected

    def test_a_marker_of_nearly_that_name_is_an_error(self, bad_markers: Finished) -> None:
        message = bad_markers.message("test_misspelt")
        assert "the marker latency_budgets limits nothing; did you mean latency_budget?" in message

    def test_every_error_is_told_once_and_shows_no_source_of_ours(
        self, bad_markers: Finished
    ) -> None:
        lines = [line for line in bad_markers.stdout.splitlines() if line.startswith("hiddenco")]
        assert len(lines) == len(BAD) + 1
        assert "the body was run" not in bad_markers.output
        assert "Traceback" not in bad_markers.output
        assert "pytest_hiddencost/" not in bad_markers.output


def test_a_bad_marker_is_an_error_of_each_test_it_is_on(pytester: pytest.Pytester) -> None:
    """A test without the fixture; one parameter; each test of a class."""
    result = run(
        pytester,
        [
            """
        @budget(p50="15")
        def test_without_the_fixture(): pass

        @pytest.mark.parametrize("model", [
            pytest.param(MODEL, marks=budget(p50="15"), id="bad"),
            pytest.param(MODEL, marks=budget(p50="15 s"), id="good"),
        ])
        def test_one(hiddencost, model):
            hiddencost(model, X)

        @budget(p50="15")
        class TestModels:
            def test_plain(self, hiddencost): hiddencost(MODEL, X)

            @budget(p50="10 s")
            def test_with_its_own(self, hiddencost): hiddencost(MODEL, X)
        """,
            NEIGHBOUR,
        ],
        "-rpE",
    )
    result.assert_outcomes(errors=4, passed=2)
    lines = [line for line in result.stdout.lines if line.startswith(("PASSED", "ERROR t"))]
    assert {line.split()[0] + " " + line.split("::", 1)[1].split(" - ")[0] for line in lines} == {
        "ERROR test_without_the_fixture",
        "ERROR test_one[bad]",
        "ERROR TestModels::test_plain",
        "ERROR TestModels::test_with_its_own",
        "PASSED test_one[good]",
        "PASSED test_neighbour",
    }


junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary()


@patient
@given(st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=9), junk, max_size=3))
def test_whatever_is_written_is_a_budget_or_a_clean_refusal(written: dict[str, Any]) -> None:
    try:
        found, refused = budget(**written), "latency_budget("
    except HiddenCostError as error:
        found, refused = None, str(error)
    assert refused.startswith("latency_budget(")
    assert found is None or found.limits or found.regression != Tolerances()


# --- growth against the baseline ----------------------------------------------------------------


def test_regression_alone_is_a_limit() -> None:
    found = budget(regression="7.5%")
    assert found.limits == ()
    assert found.regression == Tolerances(everywhere=0.075)


def test_regression_per_quantity() -> None:
    keys = {
        "calls": "2%", "macs": 0, "allocated_bytes": "1%", "activation_memory": "3%", "p50": "10%",
        "non_mac": "20%", "energy": "8%",
    }  # fmt: skip
    assert budget(regression=keys).regression.own == {
        "calls": 0.02, "macs": 0.0, "allocated_bytes": 0.01, "activation_memory": 0.03, "p50": 0.1,
        "non_mac": 0.2, "energy": 0.08,
    }  # fmt: skip


@pytest.mark.parametrize("key", ["operators", "aten::cat", "aten::*", "data_movement", "p95"])
def test_only_what_a_baseline_compares_is_accepted(key: str) -> None:
    message = refusal(regression={key: "5%"})
    assert f"a baseline does not compare {key!r}" in message
    assert (
        "accepted: calls, macs, allocated_bytes, activation_memory, p50, non_mac, energy; "
        "limit the time of operators with operators={...}"
    ) in message


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (5, "has no unit"), ("5", "has no unit"), ("-5%", "is negative"), ("5 ms", "is a duration"),
        ({}, "empty mapping"), ({"p50": 5}, "regression={'p50': ...}"),
        ({"p5": "5%"}, "did you mean 'p50'?"), ({"copy_": "5%"}, "does not compare 'copy_'"),
        ({3: "5%"}, "a baseline does not compare 3"), ("5000%", "is more than"),
    ],
)  # fmt: skip
def test_a_growth_that_cannot_be_is_refused(value: object, part: str) -> None:
    message = refusal(regression=value)
    assert message.startswith("latency_budget(regression=")
    assert part in message


def test_without_a_word_the_settings_tolerance_holds() -> None:
    allowed = budget(p50="1 s").regression
    assert allowed.timed("p50", 0.05) == 0.05
    assert allowed.structural("calls") == 0.0


def test_what_is_named_has_its_own_tolerance_and_the_rest_the_settings() -> None:
    allowed = budget(regression={"p50": "50%", "calls": "2%"}).regression
    assert allowed.timed("p50", 0.05) == 0.5
    assert allowed.timed("non_mac", 0.05) == 0.05
    assert allowed.structural("calls") == 0.02
    assert allowed.structural("macs") == 0.0
