"""The page: one file, escaped, small, with the figures of the run."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pytest_hiddencost.report.html import page as pages
from pytest_hiddencost.report.html.page import LARGEST_BYTES, report_page
from pytest_hiddencost.report.html.study_figures import BackendFigures, StudyFigures
from tests.profiles import DEVICE
from tests.report.html.reports import data_of, hostile, layered, run_of, several

STUDY = StudyFigures(
    (
        BackendFigures(
            "default", ("A", "B"),
            {"accuracy": [70.0, 60.0], "parameters": [1.0, None], "MACs": [10.0, 20.0],
             "time": [1.0, 2.0]},
            {"Conv2D": [0.5, 0.6]}, {"convolution": [0.9, 0.8]}, {"linear": [3.0, None]},
        ),
    )
)  # fmt: skip


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(several())


def test_the_page_names_no_address_to_load_from(page: str) -> None:
    for tag, attributes in Elements(page).tags:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, name, value)
    assert "@import" not in page
    assert "url(" not in page


def test_the_policy_forbids_everything_but_its_own_scripts(page: str) -> None:
    (policy,) = [
        str(attributes["content"])
        for tag, attributes in Elements(page).tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe-eval" not in policy


def test_every_call_is_in_the_table_and_in_the_data(page: str) -> None:
    _, calls = data_of(page)
    assert len(calls) == page.count('<tr data-search="') == 8
    assert calls[1]["name"] == "tests/test_models.py::test_latency[model1]"
    assert "tests/test_models.py::test_latency[model1]" in Elements(page).text


def test_a_page_of_few_calls_is_small(page: str) -> None:
    assert len(page.encode()) < 2_500_000


def test_the_same_run_gives_the_same_page(page: str) -> None:
    assert report_page(several()) == page


def test_hostile_text_adds_no_element() -> None:
    harmless = Elements(report_page(run_of(layered(label="label"))))
    found = Elements(report_page(hostile()))
    for tag in ("script", "img", "b", "style", "iframe", "svg"):
        assert found.count(tag) == harmless.count(tag), tag
    assert "<script>window.hacked=1</script>" in found.text
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)


def test_hostile_text_is_in_the_data_as_text() -> None:
    _, (call,) = data_of(report_page(hostile()))
    assert call["name"].startswith("test_models.py::test_it[<script>")
    assert "\u202e" not in call["name"]
    assert "<b>aten::%{y}</b>" in call["icicle"]["labels"]


def test_a_run_that_measured_nothing_is_a_page() -> None:
    text = Elements(report_page(run_of())).text
    assert "The run measured nothing." in text
    assert "0 measured calls" in text


def test_a_base_of_another_device_is_told() -> None:
    base = several()
    other = replace(base, device=replace(DEVICE, key="other", model="Other Board"))
    text = Elements(report_page(several(), other, base_name="pi.json")).text
    assert "The two runs are from different devices" in text
    assert "cpu: Other Board" in text
    assert "The two runs" not in Elements(report_page(several(), base)).text


def test_the_changes_of_a_base_are_in_the_data() -> None:
    base = run_of(
        *(layered(test=profile.test, label=profile.label) for profile in several().profiles)
    )
    overview, calls = data_of(report_page(several(), base, base_name="main.json"))
    assert calls[1]["changes"][0]["title"] == "against main.json (0123456789ab with changes)"
    assert len(overview["growths"]) == 8


def test_the_figures_of_a_study_are_in_the_data_and_in_the_menu() -> None:
    page = report_page(several(), study=STUDY)
    overview, _ = data_of(page)
    assert overview["study"]["backends"][0]["models_table"]["parameters"] == [1.0, None]
    assert 'href="#study"' in page
    assert 'href="#study"' not in report_page(several())


def test_of_many_calls_the_page_keeps_less_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = len(report_page(several(4)))
    monkeypatch.setattr(pages, "LARGEST_BYTES", whole - 2000)
    thinned = report_page(several(4))
    assert len(thinned) <= whole - 2000
    assert '"thinned":true' in thinned
    _, calls = data_of(thinned)
    assert len(calls) == 4
    assert calls[0]["samples"]["count"] == 300


def test_details_that_do_not_fit_are_left_out_and_the_table_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell = len(report_page(run_of()))
    monkeypatch.setattr(pages, "LARGEST_BYTES", shell + 30_000)
    page = report_page(several(12))
    _, calls = data_of(page)
    assert 0 < len(calls) < 12
    assert page.count('<tr data-search="') == 12
    assert '""' in re.findall(r'id="call-data">([^<]*)<', page)[0]


def test_the_limit_is_what_is_promised() -> None:
    assert LARGEST_BYTES <= 6_000_000
