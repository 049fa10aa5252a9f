"""The budgets of named models: lines that the marker's own code reads."""

from __future__ import annotations

import pytest

from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.model_names import Matrix, Variant, named_model
from pytest_hiddencost.run.markers import latency_budget
from pytest_hiddencost.run.model_budgets import budget_of, parsed_budgets, unmatched

WHERE = "hiddencost_model_budget in the ini file"
BUDGETS = """
    # for all
    p50 = 15 ms
    operators[aten::cat] = 5%
    regression = 5%

    [torchvision:*]
    p50 = 20 ms
    operators[normalization] = 12 calls
    [torchvision:resnet18[*-bfloat16-*]]
    non_mac = 40%
"""


def variant(text: str) -> Variant:
    [found] = Matrix().of(named_model(text, WHERE))
    return found


def limits(text: str, budgets: str = BUDGETS) -> dict[str, object]:
    return dict(budget_of(parsed_budgets(budgets, WHERE), variant(text)))


def refusal(text: str) -> str:
    with pytest.raises(SettingError) as error:
        parsed_budgets(text, WHERE)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_lines_without_a_pattern_are_for_all_models() -> None:
    cat = {"aten::cat": "5%"}
    assert limits("m:Net") == {"p50": "15 ms", "operators": cat, "regression": "5%"}


def test_lines_below_a_pattern_go_before_those_above() -> None:
    found = limits("torchvision:vgg11")
    assert found["p50"] == "20 ms"
    assert found["operators"] == {"aten::cat": "5%", "normalization": "12 calls"}
    assert "non_mac" not in found


def test_a_pattern_matches_the_variant_as_well() -> None:
    assert limits("torchvision:resnet18[1x3-bfloat16-eager]")["non_mac"] == "40%"
    assert "non_mac" not in limits("torchvision:resnet18[1x3-float32-eager]")


def test_the_arguments_are_the_markers() -> None:
    assert latency_budget(**limits("torchvision:resnet18[1x3-bfloat16-eager]")).limits


def test_an_empty_text_has_no_budget() -> None:
    assert limits("m:Net", "\n  \n") == {}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("p50 = 15", "'15' has no unit"),
        ("p50 15 ms", 'expected lines such as "p50 = 15 ms"'),
        ("speed = 3 ms", "accepted: p50, p95"),
        ("label = a", 'expected lines such as "p50 = 15 ms"'),
        ("p50 = 1 ms\np50 = 2 ms", "p50 is given twice"),
        ("operators = 5%", "expected a mapping"),
        ("operators[concat] = 5%", "no group 'concat'"),
        ("p50[a] = 5 ms", "p50"),
        ("regression = 5%\nregression[p50] = 2%", "regression is given twice"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(line: str, why: str) -> None:
    message = refusal(line)
    assert message.startswith(f"{WHERE}: {line.splitlines()[-1]!r}: ")
    assert why in message


def test_a_pattern_that_matches_nothing_is_named() -> None:
    sections = parsed_budgets("p50 = 1 s\n[torchvison:*]\np50 = 2 s\n[m:*]\np50 = 3 s", WHERE)
    assert unmatched(sections, [variant("m:Net")]) == ["torchvison:*"]
