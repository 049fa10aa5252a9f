"""The terminal summary: the stored figures, in columns that fit, with the verdicts in colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core import units
from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, NEW, PASS
from pytest_hiddencost.core.records import CallSiteCost, Device, DeviceHealth, InterleavedComparison, MacKindCost, Profile, Verdict
from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.report.terminal import (
    change,
    largest_hidden_cost,
    title,
    verdict_of,
    write_summary,
)
from tests.profiles import (
    DEVICE,
    MS,
    composite,
    network,
    operator,
    patient,
    profile_of,
    read_table,
    read_tables,
    samples_around,
)

Markup = dict[str, bool]


@dataclass
class FakeWriter:
    fullwidth: int


@dataclass
class FakeReporter:
    """What pytest's reporter is asked for, kept as lines of marked-up pieces."""

    width: int = 200
    title: str = ""
    pieces: list[list[tuple[str, Markup]]] = field(default_factory=lambda: [[]])

    @property
    def _tw(self) -> FakeWriter:
        return FakeWriter(self.width)

    def ensure_newline(self) -> None:
        if self.pieces[-1]:
            self.pieces.append([])

    def section(self, title: str, sep: str = "=", **_: bool) -> None:
        assert (self.title, len(sep)) == ("", 1)
        self.title = title

    def write(self, content: str, *, flush: bool = False, **markup: bool) -> None:
        assert "\n" not in content
        self.pieces[-1].append((content, {k: v for k, v in markup.items() if v}))

    def write_line(self, line: str, **markup: bool) -> None:
        self.write(line, **markup)
        self.pieces.append([])

    @property
    def lines(self) -> list[str]:
        assert self.pieces[-1] == []  # the last line is closed
        return ["".join(text for text, _ in line) for line in self.pieces[:-1]]

    def coloured(self) -> list[tuple[str, str]]:
        """Every piece in colour, with it."""
        return [
            (text, color)
            for line in self.pieces
            for text, markup in line
            for color in markup
            if color != "bold"
        ]


def summary(
    *profiles: Profile,
    width: int = 200,
    verbosity: int = 0,
    device: Device | None = DEVICE,
    failed: bool | None = None,
) -> FakeReporter:
    reporter = FakeReporter(width)
    as_pytests = cast("pytest.TerminalReporter", reporter)
    write_summary(as_pytests, profiles, device, verbosity, failed=failed)
    return reporter


def with_verdicts(*verdicts: str, **changes: Any) -> Profile:
    found = tuple(Verdict(f"gate{i}", v, 1.0, 2.0, "why") for i, v in enumerate(verdicts))
    return network(verdicts=found, **changes)


def value(text: str, kind: Kind) -> float:
    return units.parse(text, [kind], "printed", max_share=float("inf")).value


def shown(number: float) -> object:
    """Three significant digits of a number."""
    return pytest.approx(number, rel=0.0051, abs=1e-12)


def cell(row: dict[str, str], name: str, kind: Kind) -> float:
    """A number of the column of this name, in the unit its header gives."""
    (header,) = (header for header in row if header.startswith(name))
    return value(f"{row[header]} {header.removeprefix(name)}", kind)


def macs_of(row: dict[str, str], suffix: str, kind: Kind) -> float:
    """The same for a column that is headed by its unit alone."""
    (unit,) = (header for header in row if header.endswith(suffix) and header != "non-MAC")
    return value(f"{row[unit]} {unit}", kind)


# --- the rows ----------------------------------------------------------------------------------


def test_the_section_has_a_row_per_profile_in_their_order() -> None:
    reporter = summary(network(test="a.py::test_a"), network(test="a.py::test_b", label="b1"))
    assert reporter.title == "hidden costs"
    assert [row["test"] for row in read_table(reporter.lines)] == [
        "a.py::test_a",
        "a.py::test_b b1",
    ]


def test_a_row_as_it_looks() -> None:
    (row,) = read_table(summary(with_verdicts(PASS)).lines)
    assert row == {
        "test": "test_models.py::test_it",
        "p50 ms": "10",
        "p95 ms": "10.5",
        "MMAC": "30",
        "GMAC/s": "3",
        "non-MAC": "40 %",
        "largest hidden cost": "native_batch_norm 20 %",
        "peak MiB": "24",
        "verdict": "pass",
    }


@st.composite
def measured(draw: st.DrawFn) -> Profile:
    latency_ns = draw(st.integers(1_000, 10**10))
    share = draw(st.floats(0.001, 0.999))
    kernel = operator("aten::addmm", latency_ns * share, macs=draw(st.integers(1, 10**11)))
    return profile_of(
        kernel,
        samples_ns=samples_around(latency_ns, 50, spread=0.3),
        activation_peak_bytes=draw(st.none() | st.integers(1, 10**10)),
    )


@patient
@given(st.lists(measured(), min_size=1, max_size=5))
def test_every_figure_printed_is_the_one_stored(profiles: list[Profile]) -> None:
    rows = read_table(summary(*profiles).lines)
    for row, profile in zip(rows, profiles, strict=True):
        assert cell(row, "p50", "duration") == shown(profile.latency.median_ns)
        assert cell(row, "p95", "duration") == shown(profile.latency.p95_ns)
        assert value(row["non-MAC"], "share") == shown(profile.non_mac_share)
        assert macs_of(row, "MAC/s", "mac_rate") == shown(profile.mac_rate)
        assert macs_of(row, "MAC", "macs") == pytest.approx(profile.macs, rel=0.0051, abs=1)
        if profile.activation_peak_bytes is None:
            assert row[next(h for h in row if h.startswith("peak"))] == "-"
        else:
            assert cell(row, "peak", "bytes") == pytest.approx(
                profile.activation_peak_bytes, rel=0.0051, abs=1
            )
        share = row["largest hidden cost"].removeprefix("outside ")
        assert value(share, "share") == shown(profile.outside_ns / profile.latency.median_ns)


def test_one_unit_for_a_whole_column() -> None:
    slow = profile_of(operator("aten::addmm", 6 * MS), latency_ns=2_000 * MS)
    rows = read_table(summary(network(), network(), slow).lines)
    assert [row["p50 ms"] for row in rows] == ["10", "10", "2000"]


def test_the_unit_of_a_column_suits_most_of_it_not_the_first() -> None:
    fast = profile_of(operator("aten::addmm", 6_000, macs=30_000), latency_ns=10_000)
    rows = read_table(summary(fast, network(), network()).lines)
    assert [row["p50 ms"] for row in rows] == ["0.01", "10", "10"]
    assert [row["MMAC"] for row in rows] == ["0.03", "30", "30"]


def test_what_is_not_known_is_a_dash() -> None:
    (row,) = read_table(summary(network(activation_peak_bytes=None)).lines)
    assert next(value for header, value in row.items() if header.startswith("peak")) == "-"
    assert row["verdict"] == "-"


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ((), ""),
        ((PASS, PASS), PASS),
        ((PASS, NEW), PASS),
        ((NEW, INCONCLUSIVE, PASS), INCONCLUSIVE),
        ((PASS, FAIL, INCONCLUSIVE, NEW), FAIL),
    ],
)
def test_a_profile_is_as_good_as_its_worst_verdict(verdicts: tuple[str, ...], worst: str) -> None:
    profile = with_verdicts(*verdicts)
    assert verdict_of(profile) == worst
    rows = read_tables([*summary(profile).lines[:4], ""])[0]
    assert rows[0]["verdict"] == (worst or "-")


def test_a_title_is_the_test_and_its_label() -> None:
    assert title(network()) == "test_models.py::test_it"
    assert title(network(label="b 1")) == "test_models.py::test_it b 1"


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (network(), "native_batch_norm 20 %"),
        (profile_of(operator("aten::addmm", 4 * MS), operator("aten::cat", MS)), "outside 50 %"),
        (profile_of(operator("aten::_convolution", 8 * MS, mac_share=0.75),
                    operator("aten::cat", 1.5 * MS)), "_convolution 20 %"),
        (profile_of(operator("aten::_convolution", 8 * MS, mac_share=0.9),
                    operator("aten::cat", 1.5 * MS)), "cat 15 %"),
        (profile_of(operator("mylib::fused", 8 * MS)), "mylib::fused 80 %"),
        (profile_of(), "outside 100 %"),
    ],
)  # fmt: skip
def test_the_largest_hidden_cost_is_no_mac_time(profile: Profile, expected: str) -> None:
    assert largest_hidden_cost(profile) == expected


# --- width -------------------------------------------------------------------------------------


def narrow_rows(lines: Sequence[str]) -> list[dict[str, str]]:
    """The figures under each test's line, by header; those lines have the same columns."""
    start = next(i for i, line in enumerate(lines) if line.startswith("  p50"))
    figures = [line for line in lines[start:] if line.startswith("  ")]
    tests = [line for line in lines[start:] if not line.startswith("  ")]
    width = max(map(len, figures))
    ink = [any(line.ljust(width)[i] != " " for line in figures) for i in range(width)]
    columns = re.finditer("1(?:0?1)*", "".join("01"[inked] for inked in ink))
    spans = [match.span() for match in columns]
    head, *rows = ([line[start:end].strip() for start, end in spans] for line in figures)
    return [
        {"test": test.rsplit("  ", 1)[0], **dict(zip(head, row, strict=True)),
         "verdict": test.rsplit("  ", 1)[1]}
        for test, row in zip(tests, rows, strict=True)
    ]  # fmt: skip


LONG = ("aten::_native_batch_norm_legit_no_training", "mylib::" + "very_" * 9)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("hidden", "verdict"),
    [*(("aten::native_batch_norm", verdict) for verdict in (PASS, FAIL, INCONCLUSIVE, NEW)),
     *((name, INCONCLUSIVE) for name in LONG)],
)  # fmt: skip
def test_rows_fit_the_terminal(width: int, hidden: str, verdict: str) -> None:
    profile = profile_of(
        operator("aten::mkldnn_convolution", 60.3 * MS, macs=999_000_000),
        operator(hidden, 35.2 * MS),
        latency_ns=100 * MS,
        test="tests/test_models.py::test_reference_model[MobileNet]",
        verdicts=(Verdict("p50", verdict, 1.0, 2.0, "why"),),
        activation_peak_bytes=1023 * 2**20,
    )
    lines = [line for line in summary(profile, width=width).lines if "inconclusive: " not in line]
    assert max(map(len, lines)) <= width, max(lines, key=len)


@pytest.mark.parametrize("name", LONG)
def test_a_long_name_is_cut_where_it_is_still_known(name: str) -> None:
    shown_as = largest_hidden_cost(profile_of(operator(name, 8 * MS)))
    start, end = shown_as.split("..")
    assert name.removeprefix("aten::").startswith(start)
    assert len(start) >= 15
    assert end == " 80 %"


def test_a_wide_terminal_has_one_line_per_profile() -> None:
    lines = summary(network(), network(), width=120).lines
    assert sum("test_it" in line for line in lines) == 2
    assert all("native_batch_norm" in line for line in lines if "test_it" in line)


@pytest.mark.parametrize("verdict", [PASS, FAIL])
def test_a_narrow_terminal_has_the_same_figures_under_each_test(verdict: str) -> None:
    profiles = [network(label="a"), with_verdicts(verdict, label="b", mac_rate=4e10)]
    wide = read_table(summary(*profiles, width=200).lines)
    assert narrow_rows(summary(*profiles, width=90).lines) == wide
    assert [row["verdict"] for row in wide] == ["-", verdict]


def test_the_widest_line_that_fits_is_not_broken() -> None:
    width = max(map(len, summary(network()).lines))
    assert summary(network(), width=width).lines == summary(network()).lines
    assert summary(network(), width=width - 1).lines != summary(network()).lines


def test_no_line_ends_in_blanks() -> None:
    for width in (80, 200):
        lines = summary(network(), with_verdicts(PASS), width=width, verbosity=2).lines
        assert [line for line in lines if line != line.rstrip()] == []


# --- against another revision --------------------------------------------------------------------

BESIDE = InterleavedComparison(
    "main",
    ratio=1.0123,
    interval=(0.99, 1.0349),
    non_mac_ratio=0.98,
    non_mac_interval=(0.9, 1.1),
)
P50 = "p50 +1.2 % (-1.0 to +3.5 %)"
NON_MAC = "non-MAC -2.0 % (-10.0 to +10.0 %)"


def beside(found: InterleavedComparison = BESIDE, calls: int = 60) -> Profile:
    verdicts = (Verdict("regression[calls]", PASS, calls, 60, ""),)
    return network(interleaved=found, verdicts=verdicts)


def test_a_change_is_told_with_its_interval() -> None:
    assert change(beside()) == f"{P50}, {NON_MAC}"
    assert change(beside(calls=72)) == f"+12 calls, {P50}, {NON_MAC}"


def test_what_was_not_measured_is_not_told() -> None:
    without = replace(BESIDE, non_mac_ratio=None, non_mac_interval=None)
    assert change(beside(without)) == P50
    assert change(beside(InterleavedComparison("main"))) == ""


@pytest.mark.parametrize("width", [80, 120])
def test_a_change_is_behind_the_verdict_where_there_is_room(width: int) -> None:
    profile = beside(calls=72)
    lines = summary(profile, width=width).lines
    assert max(map(len, lines)) <= width
    place = next(i for i, line in enumerate(lines) if line.startswith("test_models.py::test_it "))
    assert lines[place].endswith("  pass")
    assert lines[place + 1] == f"  {change(profile)}"
    wide = summary(profile, width=250).lines
    assert sum(line.endswith(f"  pass  {change(profile)}") for line in wide) == 1


def test_the_longest_change_that_fits_stays_on_its_line() -> None:
    wide = summary(beside(), width=250).lines
    width = max(map(len, wide))
    assert summary(beside(), width=width).lines == wide
    assert len(summary(beside(), width=width - 1).lines) == len(wide) + 1


# --- colour ------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize(
    ("verdict", "color"), [(PASS, "green"), (FAIL, "red"), (NEW, "cyan"), (INCONCLUSIVE, "yellow")]
)
def test_in_a_row_the_verdict_alone_is_coloured(verdict: str, color: str, width: int) -> None:
    # A test may be called like its verdict.
    reporter = summary(with_verdicts(verdict, test=f"test_{verdict}"), width=width)
    assert reporter.coloured()[0] == (verdict, color)
    remarks = reporter.coloured()[1:]
    told = {INCONCLUSIVE: "gate0 inconclusive: why", NEW: f"new (1): test_{NEW}: why"}
    assert [
        text.partition(": ")[2] if verdict == INCONCLUSIVE else text for text, _ in remarks
    ] == [told[verdict] for _ in remarks]
    assert all(color == "yellow" for _, color in remarks)
    assert len(remarks) == (verdict in told)
    (row,) = [line for line in reporter.lines if line.startswith(f"test_{verdict} ")]
    assert row.endswith(f"  {verdict}")
    assert sum("native_batch_norm 20 %" in line for line in reporter.lines) == 1


def test_a_row_without_a_verdict_has_no_colour() -> None:
    assert summary(network(), verbosity=2).coloured() == []


# --- what stands around the rows ---------------------------------------------------------------


def test_the_device_is_told() -> None:
    line = summary(network()).lines[0]
    assert line == "cpu: Some Board, 4 cores, 2 threads, torch 2.13.0"
    one = replace(DEVICE, threads=1)
    assert "4 cores, 1 thread, torch" in summary(network(), device=one).lines[0]


def test_without_a_device_record_the_rows_come_at_once() -> None:
    assert summary(network(), device=None).lines[0].startswith("test")


def test_an_unfit_device_is_told_with_how_many_it_concerns() -> None:
    hot = network(health=DeviceHealth(False, ("throttled during the run",)))
    lines = summary(network(), hot, hot).lines
    assert "not fit for timing (2 of 3): throttled during the run" in lines
    assert not any("not fit" in line for line in summary(network()).lines)


def test_an_undecided_limit_is_told_with_its_reason() -> None:
    profile = network(
        verdicts=(
            Verdict("p50", INCONCLUSIVE, 1.0, 1.0, "straddles"),
            Verdict("p99", INCONCLUSIVE, 1.0, 1.0, "too few samples"),
            Verdict("non_mac", INCONCLUSIVE, 1.0, 1.0, "straddles"),
            Verdict("macs", PASS, 1.0, 1.0, ""),
        )
    )
    lines = summary(profile).lines
    assert "test_models.py::test_it: p50, non_mac inconclusive: straddles" in lines
    assert "test_models.py::test_it: p99 inconclusive: too few samples" in lines
    assert not any("macs" in line for line in lines)


def test_a_structure_that_varies_is_told() -> None:
    lines = summary(network(structure_varies=True, label="b1")).lines
    assert "test_models.py::test_it b1: structure varies from call to call" in lines


def test_operators_without_a_formula_are_told() -> None:
    lines = summary(network(uncosted=("mylib::gemm", "mylib::conv"))).lines
    assert "test_models.py::test_it: no MAC formula for mylib::gemm, mylib::conv" in lines


# --- verbosity ---------------------------------------------------------------------------------

DETAILED = network(
    composites=[
        composite(
            "aten::conv2d",
            20,
            {"aten::mkldnn_convolution": (20, 6 * MS), "aten::_convolution": (20, 0.2 * MS)},
        ),
        composite("aten::cat", 12, {"aten::cat": (12, 1 * MS)}),
    ],
    mac_kinds=(
        MacKindCost("conv2d 3x3", 16, 24_000_000, 4 * MS),
        MacKindCost("conv2d 1x1", 4, 6_000_000, None),
    ),
)


@pytest.mark.parametrize("verdicts", [(), (PASS,), (INCONCLUSIVE,), (NEW, PASS)])
def test_quiet_says_nothing_unless_a_limit_is_broken(verdicts: tuple[str, ...]) -> None:
    quiet = summary(with_verdicts(*verdicts), verbosity=-1)
    assert (quiet.title, quiet.lines) == ("", [])


def test_quiet_shows_every_row_once_a_limit_is_broken() -> None:
    profiles = (with_verdicts(PASS), with_verdicts(FAIL))
    quiet = summary(*profiles, verbosity=-1)
    assert quiet.lines == summary(*profiles, verbosity=0).lines
    assert [row["verdict"] for row in read_table(quiet.lines)] == [PASS, FAIL]


def test_quiet_shows_every_row_once_a_test_that_measured_has_failed() -> None:
    # Under --hiddencost-strict an inconclusive limit fails the test, too.
    undecided = with_verdicts(INCONCLUSIVE)
    assert summary(undecided, verbosity=-1, failed=True).lines == summary(undecided).lines
    assert summary(undecided, verbosity=-1, failed=False).lines == []
    assert summary(with_verdicts(FAIL), verbosity=-1, failed=False).lines == []


def test_each_verbosity_adds_to_the_one_before() -> None:
    usual, more, most = (summary(DETAILED, verbosity=v).lines for v in (0, 1, 2))
    assert more[: len(usual)] == usual
    assert most[: len(more)] == more
    assert len(usual) < len(more) < len(most)
    assert summary(DETAILED, verbosity=3).lines == most


def test_v_shows_the_groups_and_the_kinds_of_macs() -> None:
    _, groups, kinds = read_tables(summary(DETAILED, verbosity=1).lines)
    assert [(row["group"], row["calls"]) for row in groups] == [
        ("mac", "20"), ("normalization", "20"), ("concatenation", "12"), ("data_movement", "14"),
        ("outside", ""), ("wrapper", "20"),
    ]  # fmt: skip
    assert [row["MAC kind"] for row in kinds] == ["conv2d 3x3", "conv2d 1x1"]
    assert kinds[0] == {
        "MAC kind": "conv2d 3x3",
        "calls": "16",
        "MACs": "24 MMAC",
        "kernel time": "4 ms",
        "MAC rate": "6 GMAC/s",
    }
    assert (kinds[1]["kernel time"], kinds[1]["MAC rate"]) == ("-", "-")


def test_groups_are_the_whole_latency() -> None:
    _, groups, _ = read_tables(summary(DETAILED, verbosity=1).lines)
    stored = {**DETAILED.group_ns(), "outside": DETAILED.outside_ns}
    assert {row["group"]: value(row["time"], "duration") for row in groups} == {
        group: shown(self_ns) for group, self_ns in stored.items()
    }
    assert sum(value(row["share"], "share") for row in groups) == pytest.approx(1, abs=0.01)
    times = [value(row["time"], "duration") for row in groups]
    assert times == sorted(times, reverse=True)


def test_a_group_too_short_to_be_seen_is_listed_with_its_calls() -> None:
    operators = (*DETAILED.operators, replace(DETAILED.operators[0], name="aten::max_pool2d",
                 group="pooling", calls=3, self_ns=0.0, mac_share=0.0))  # fmt: skip
    _, groups, _ = read_tables(summary(replace(DETAILED, operators=operators), verbosity=1).lines)
    [row] = [row for row in groups if row["group"] == "pooling"]
    assert (row["calls"], value(row["time"], "duration")) == ("3", 0)


def test_without_macs_there_is_no_table_of_them() -> None:
    assert len(read_tables(summary(network(), verbosity=1).lines)) == 2


def test_vv_shows_every_operator_and_what_is_inside_composites() -> None:
    lines = summary(DETAILED, verbosity=2).lines
    _, _, _, operators, inside = read_tables(lines)
    assert sum(value(row["share"], "share") for row in operators) == pytest.approx(1, abs=0.01)
    (outside,) = [row for row in operators if row["operator"] == "outside"]
    assert value(outside["time"], "duration") == shown(DETAILED.outside_ns)
    operators.remove(outside)
    for row, cost in zip(operators, DETAILED.operators, strict=True):
        assert (row["operator"], int(row["calls"])) == (cost.name, cost.calls)
        assert value(row["time"], "duration") == shown(cost.self_ns)
        assert value(row["share"], "share") == shown(cost.self_ns / 10e6)
    head = "inside aten::conv2d (20 calls)"
    assert [row[head] for row in inside] == ["aten::mkldnn_convolution", "aten::_convolution"]
    assert sum(value(row["share"], "share") for row in inside) == pytest.approx(1, abs=0.01)
    assert not any("inside aten::cat" in line for line in lines)  # nothing but itself is in there


def test_a_composite_of_one_call_is_in_the_singular() -> None:
    one = composite("aten::add", 1, {"aten::add": (1, MS), "aten::copy_": (1, MS)})
    lines = summary(network(composites=[one]), verbosity=2).lines
    assert any(line.startswith("inside aten::add (1 call)  ") for line in lines)


def test_vv_leaves_no_operator_out() -> None:
    many = profile_of(*(operator(f"mylib::op{i}", 100_000 - i) for i in range(30)))
    _, _, operators = read_tables(summary(many, verbosity=2).lines)
    assert [row["operator"] for row in operators] == [
        "outside", *(f"mylib::op{i}" for i in range(30)),
    ]  # fmt: skip


def test_vv_tells_what_the_profiler_cost() -> None:
    assert summary(DETAILED, verbosity=2).lines[-1] == (
        "profiler: 86 events in each of 12 windows, 400 ns each (calibrated: 350 ns), which are "
        "taken out; profiled calls took 25 % longer, 1.5 % of the latency is left unexplained; "
        "600 timed calls"
    )


def test_details_come_per_profile_under_its_title() -> None:
    reporter = summary(network(label="a"), network(label="b"), verbosity=1)
    bold = [text for line in reporter.pieces for text, markup in line if markup.get("bold")]
    assert bold == ["test_models.py::test_it a", "test_models.py::test_it b"]


ROUGH = profile_of(
    operator("aten::mkldnn_convolution", 8 * MS, 20, macs=10**6),
    operator("aten::narrow", 0.5 * MS, 1000, uncertainty_ns=0.2 * MS, below_resolution=True),
    operator(
        "aten::slice",
        0.3 * MS,
        1000,
        uncertainty_ns=0.1 * MS,
        below_resolution=True,
        call_sites=(CallSiteCost("stem", "model.py:7", 1000, 0.3 * MS),),
    ),
)


def test_vv_marks_what_is_below_resolution_and_how_well_its_sum_is_known() -> None:
    lines = summary(ROUGH, verbosity=2).lines
    table = read_tables(lines)[-1]
    assert {row["operator"]: row["time"] for row in table} == {
        "aten::mkldnn_convolution": "8 ms", "outside": "1.2 ms", "aten::narrow": "~500 us",
        "aten::slice": "~300 us",
    }  # fmt: skip
    (told,) = [line for line in lines if line.startswith("~ below resolution")]
    assert told.endswith("together 800 us +- 300 us")


def test_vv_says_where_operators_are_called() -> None:
    assert "1000 x aten::slice from stem, model.py:7 (300 us)" in summary(ROUGH, verbosity=2).lines


def test_without_operators_below_resolution_there_is_no_such_line() -> None:
    lines = summary(DETAILED, verbosity=2).lines
    assert not [line for line in lines if "below resolution" in line or " from " in line]


def test_parts_that_cannot_be_judged_take_one_line_together() -> None:
    gates = ("p50", "aten::cat", "aten::copy_", "concatenation")
    found = tuple(
        Verdict(f"regression[{gate}]", INCONCLUSIVE, 0.0, 0.05, f"cannot tell {gate}", "share")
        for gate in gates
    )
    lines = summary(network(verdicts=found)).lines
    told = [line for line in lines if "inconclusive" in line and "::test_it: " in line]
    assert [line.partition(": ")[2] for line in told] == [
        "regression[p50] inconclusive: cannot tell p50",
        "time of 3 groups and operators inconclusive",
    ]
