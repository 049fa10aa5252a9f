"""The table of options: what pytest's help shows of it, and its English."""

from __future__ import annotations

import re

import pytest

from pytest_hiddencost.options import OPTIONS, VERBOSITY, Option
from tests.suites import run_here

MOST_WORDS = 25
# The actor is missing, or a noun is.
BANNED = re.compile(
    r"\b(is|are) (said|told|held|shown|meant|asked)\b|\bheld to\b|\bnothing .* but\b|\bwhat is\b"
    r"|\bwho\b|^of\b|\bseats?\b|\breplicas?\b|\bpeers?\b|\bplants?\b|\bcontrol\b",
    re.IGNORECASE,
)
# A help text starts with a verb or a noun, with or without an adjective; never with one of these.
FUNCTION_WORDS = {
    "a", "an", "and", "as", "at", "be", "by", "for", "from", "how", "if", "in", "is", "it", "its",
    "my", "no", "not", "of", "on", "or", "our", "than", "that", "the", "their", "there", "this",
    "to", "was", "what", "when", "where", "whether", "which", "while", "who", "whose", "why",
    "with", "you", "your",
}  # fmt: skip
by_name = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


@by_name
def test_a_help_text_is_one_short_sentence(option: Option) -> None:
    words = re.findall(r"[\w.%'-]+", option.help)
    assert 3 <= len(words) <= MOST_WORDS
    assert not option.help.endswith(".")
    assert option.help == option.help.strip()
    assert "  " not in option.help


@by_name
def test_a_help_text_has_no_banned_form(option: Option) -> None:
    assert not BANNED.search(option.help)


@by_name
def test_a_help_text_starts_with_a_verb_or_a_noun(option: Option) -> None:
    first = re.split(r"[\s:]", option.help)[0]
    assert first[0].islower()
    assert first.lower() not in FUNCTION_WORDS


@by_name
def test_a_default_is_told_where_there_is_one(option: Option) -> None:
    """An option without a default is off, or has none."""
    without = {
        "update",
        "update-new",
        "reason",
        "selftest",
        "against",
        "strict",
        "disable",
        "energy",
        "report",
        "json",
        "metrics",
    } | {
        "kinds", "rename", "carry", "markdown", "codequality", "store", "store-host",
        "fleet", "fleet-insecure",
        "model", "input", "batch", "dtype", "compile", "model-budget",
    }  # fmt: skip
    assert ("(default: " in option.help) == (option.name not in without)


def test_names_are_the_same_on_the_command_line_and_in_the_ini_file() -> None:
    for option in OPTIONS:
        assert option.argument == f"--hiddencost-{option.name}"
        assert option.ini == f"hiddencost_{option.name.replace('-', '_')}"
        assert option.flag == (option.metavar is None)
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)


def test_help_lists_every_option_and_its_ini_twin(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--help")
    assert result.ret == 0
    text = result.stdout.str()
    unwrapped = " ".join(text.split())
    for option in OPTIONS:
        assert f"\n  {option.argument}" in text
        assert f"\n  {option.ini} (" in text
        assert unwrapped.count(" ".join(option.help.split())) == 2
    assert f"\n  {VERBOSITY} (" in text
    assert "%%" not in text


def test_nothing_is_set_by_default(pytester: pytest.Pytester) -> None:
    """Else the ini value would never count."""
    config = pytester.parseconfig()
    for option in OPTIONS:
        assert config.getoption(option.ini) is None
        assert config.getini(option.ini) is None
    assert config.getini(VERBOSITY) == "auto"
