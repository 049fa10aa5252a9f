"""The text of a marker: readable, formatted, and safe for any label."""

from __future__ import annotations

import ast

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.suggest.by_function import SuggestedMarker, suggestions
from pytest_hiddencost.suggest.marker_text import WIDTH, marker_text, string_literal
from tests.profiles import network, operator, patient, profile_of
from tests.suggest.measured_profiles import measured_profiles, read_back


def marker_of(profile: Profile) -> SuggestedMarker:
    ((marker,),) = [function.markers for function in suggestions([profile])]
    return marker


SHORT = marker_of(profile_of(operator("aten::relu", 1), varies=("activation_memory",)))


def test_a_short_marker_takes_one_line() -> None:
    assert marker_text(SHORT) == 'pytest.mark.latency_budget(p50="11 ms", p95="12 ms")'


def test_a_long_marker_is_formatted_as_black_formats_it() -> None:
    assert marker_text(marker_of(network(macs=3_317_761)), "mark") == (
        "mark.latency_budget(\n"
        '    p50="11 ms",\n'
        '    p95="12 ms",\n'
        '    non_mac="49%",\n'
        '    operators={"normalization": "23%", "concatenation": "12%"},\n'
        "    macs=3_317_761,\n"
        '    activation_memory="24 MiB",\n'
        ")"
    )


def test_a_long_mapping_has_a_line_for_each_operator() -> None:
    lines = marker_text(marker_of(network()), columns=40, step="\t", newline="\r\n").split("\r\n")
    start = lines.index("\toperators={")
    assert lines[start : start + 4] == [
        "\toperators={",
        '\t\t"normalization": "23%",',
        '\t\t"concatenation": "12%",',
        "\t},",
    ]


@settings(patient, max_examples=40)
@given(measured_profiles(), st.integers(0, 40))
def test_no_line_is_longer_than_formatters_allow(profile: Profile, columns: int) -> None:
    for function in suggestions([profile]):
        for marker in function.markers:
            lines = f"@{marker_text(marker, columns=columns)}".splitlines()
            assert max(map(len, lines)) + columns <= WIDTH
            assert read_back("\n".join(lines)[1:]).label == marker.label


@patient
@given(st.text())
def test_any_label_is_one_literal_on_one_line(label: str) -> None:
    text = string_literal(label)
    assert ast.literal_eval(text) == label
    assert len(text.splitlines()) == 1
