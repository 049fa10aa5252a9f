"""The site: every page is in the menu, and its tables come from the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_hiddencost.core.taxonomy import DEFAULT, GROUPS

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*/*.md"))


def test_every_page_is_in_the_menu() -> None:
    menu = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w-]+/[\w-]+)$", menu, re.MULTILINE))
    assert listed == {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_begins_with_its_title(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.match(r"# \S", text)
    assert len(re.findall(r"^# ", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)) == 1


def test_the_examples_of_each_group_are_in_it() -> None:
    source = (DOCS / "tables.py").read_text(encoding="utf-8")
    shown = dict(re.findall(r'^    "(\w+)": "(aten::[^"]+)",$', source, re.MULTILINE))
    assert set(shown) == set(GROUPS) - {"unclassified"}
    for group, names in shown.items():
        assert {DEFAULT.group(name) for name in names.split()} == {group}
