"""The report in a browser: figures, sorting, filters, keyboard, themes, hostile text, size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lib.chromium import wait_until
from pytest_hiddencost.report.html.page import LARGEST_BYTES, report_page
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.study.figures import figures_of
from pytest_hiddencost.study.results import ONEDNN_OFF
from tests.browser.opened import PHONE, Opened, tab
from tests.profiles import DEVICE, MS
from tests.report.html.reports import hostile, layered, run_of, several
from tests.report.test_replay_tables import BATTERY, replayed
from tests.study.study_results import LATENCIES_MS, OFF_MS
from tests.study.study_results import several as study_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


def written(folder: Path, name: str, page: str) -> Path:
    path = folder / f"{name}.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(folder: Path) -> Path:
    return written(folder, "report", report_page(several()))


@pytest.fixture(scope="module")
def compared(folder: Path) -> Path:
    profiles = several().profiles
    base = run_of(
        *(layered(1.0 + i / 5, test=p.test, label=p.label) for i, p in enumerate(profiles))
    )
    return written(folder, "compared", report_page(several(), base, base_name="main.json"))


@pytest.fixture(scope="module")
def study(folder: Path) -> Path:
    results = [*study_results(LATENCIES_MS), *study_results(OFF_MS, ONEDNN_OFF)]
    head = RunFile(DEVICE, tuple(result.profile for result in results))
    slower = [2.5 * ms for ms in LATENCIES_MS]
    other = tuple(result.profile for result in study_results(slower))
    base = RunFile(replace(DEVICE, key="pi", model="Pi"), other)
    page = report_page(head, base, base_name="pi.json", study=figures_of(head, base))
    return written(folder, "study", page)


@pytest.fixture(scope="module")
def kinds(folder: Path) -> Path:
    return written(folder, "kinds", report_page(replace(run_of(replayed()), kinds=BATTERY)))


@pytest.fixture
def page(browser: Any) -> Iterator[Opened]:
    with tab(browser) as opened:
        yield opened
        assert opened.errors == []
        outside = [
            url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))
        ]
        assert outside == [], "a request left the page"


# --- the overview -------------------------------------------------------------------------------


def test_the_overview_shows_every_call_and_its_verdict(page: Opened, report: Path) -> None:
    page.open(report).draw_all()
    assert page.title() == "8 measured calls"
    assert len(page.names()) == 8
    assert page.page.locator("tr[data-verdict=fail] .badge").first.text_content() == "fail"
    shares = {trace["name"]: trace["x"] for trace in page.traces("Shares of the latency")}
    assert shares["MAC kernels"][0] == pytest.approx(60, abs=0.5)


def test_a_header_sorts_by_its_column_and_says_so(page: Opened, report: Path) -> None:
    page.open(report)
    in_order = page.names()
    header = page.page.locator("#calls thead th", has_text="p50 ms")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert page.names() == in_order[::-1]
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert page.names() == in_order
    page.page.get_by_label("Sort by", exact=True).select_option("verdict")
    verdicts = page.page.locator("#calls tbody .badge").all_text_contents()
    assert verdicts == sorted(verdicts, key=lambda text: text.replace("-", "none"))


def test_the_filters_leave_the_calls_that_match(page: Opened, report: Path) -> None:
    page.open(report)
    page.page.get_by_label("Filter", exact=True).fill("MODEL3")
    assert page.names() == ["tests/test_models.py::test_latency[model3] batch 8"]
    assert page.page.locator("#filter-count").text_content() == "1 of 8 calls"
    page.page.get_by_label("Filter", exact=True).fill("")
    page.page.get_by_label("Verdict", exact=True).select_option("inconclusive")
    found = ["model2", "model6"]
    assert [name.partition("[")[2][:6] for name in page.names()] == found
    page.page.get_by_label("Filter", exact=True).fill("no such call")
    assert page.names() == []


# --- a call -------------------------------------------------------------------------------------


def test_a_call_shows_the_figures_of_its_profile(page: Opened, report: Path) -> None:
    page.open(report)
    page.page.get_by_role("link", name="model0").first.click()
    page.page.wait_for_selector("#call-title")
    page.draw_all()
    assert page.title() == "tests/test_models.py::test_latency[model0] batch 1"
    (icicle,) = page.traces("Module, composite, operator, line")
    values = dict(zip(icicle["labels"], icicle["values"], strict=True))
    assert values["MobileNet"] == pytest.approx(10 * MS * 1000, rel=0.01)
    assert values["native_batch_norm"] == pytest.approx(2 * MS * 1000 / 6, rel=1e-3)
    costs = page.page.locator("table.costs tbody tr")
    assert costs.first.locator("th").text_content() == "aten::native_batch_norm"
    assert "3 calls, 333 us: features.0.norm, net.py:10" in costs.first.text_content()
    (rates,) = page.traces("MAC rate by kind")
    assert rates["x"] == [10, 5]
    names = [trace.get("name") for trace in page.traces("Samples in the order they were taken")]
    assert "limit on p50 11 ms" in names
    (memory,) = page.traces("Memory over the call")
    assert max(memory["y"]) == 18
    (time, macs) = page.traces("Groups of operators")
    assert (time["x"][0], macs["x"][0]) == (pytest.approx(60, abs=0.5), 100)
    assert sum(time["x"]) == pytest.approx(100, abs=1)


def test_enlarging_a_part_of_the_icicle_and_going_back(page: Opened, report: Path) -> None:
    page.open(report, "#call-0").draw_all()
    plot = page.chart("Module, composite, operator, line")
    plot.locator("g.slice").nth(1).click()
    wait_until(plot, "p => p.level && p.level !== '0'")


def test_the_checks_have_reason_and_remedy(page: Opened, report: Path) -> None:
    page.open(report, "#call-2")
    text = page.page.locator("#call").text_content()
    assert "too few pairs; measure longer" in text
    assert "against main (0123456789)" in text


# --- comparisons --------------------------------------------------------------------------------


def test_a_comparison_leads_from_base_to_head(page: Opened, compared: Path) -> None:
    page.open(compared, "#call-1").draw_all()
    for title in ("From base to head, by operator", "From base to head, by module"):
        (steps,) = page.traces(title)
        assert steps["x"][0] + sum(steps["x"][1:-1]) == pytest.approx(12.5, rel=0.01)
        assert steps["measure"][-1] == "total"
        assert steps["text"][-1] == "12.5 ms"
    page.open(compared).draw_all()
    (growths, *_) = page.traces("Growth of p50")
    assert growths["x"][0] == pytest.approx(14.6, abs=0.3)


def test_a_roofline_shows_operators_below_the_roofs(page: Opened, kinds: Path) -> None:
    page.open(kinds)
    page.page.get_by_role("link", name="Operator kinds").first.click()
    page.draw_all()
    assert page.title() == "Operator kinds"
    traces = {trace["name"]: trace for trace in page.traces("Roofline of the device")}
    assert traces["compute"]["y"] == [80]
    assert traces["matrix product: 100 GMAC/s"]["y"] == [100, 100]
    page.open(kinds, "#call-0").draw_all()
    points = {trace["name"]: trace["x"] for trace in page.traces("Roofline of the call")}
    assert (points["compute"], points["memory"], points["kernel"]) == ([25], [0.25], [])
    assert "memory: 8.47 % of the replayed time" in page.page.locator("#call").text_content()


def test_a_study_shows_the_papers_figures(page: Opened, study: Path) -> None:
    page.open(study, "#study").draw_all()
    (macs,) = page.traces("MACs against time")
    assert macs["y"][0] == 30
    (matrix,) = page.traces("Pearson correlation")
    assert matrix["text"][0][0] == "1.00"
    inside = {trace["name"]: trace["x"] for trace in page.traces("Inside Conv2D")}
    assert inside["convolution"][0] == pytest.approx(60)
    assert "A: Some Board" in page.page.locator("#study-charts").text_content()


# --- keyboard, themes, sizes --------------------------------------------------------------------


def test_everything_works_from_the_keyboard(page: Opened, report: Path) -> None:
    page.open(report)
    page.page.keyboard.press("Tab")
    assert page.focused() == "Skip to the content"
    page.page.locator("#calls thead button", has_text="p50 ms").focus()
    page.page.keyboard.press("Enter")
    assert page.page.locator("th[aria-sort=descending]").text_content() == "p50 ms"
    link = page.page.locator("#calls tbody a").first
    link.focus()
    name = page.focused()
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#call-title")
    assert page.title() == page.focused() == name
    summary = page.page.locator(".tree summary").first
    summary.focus()
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector(".tree li li")  # a list is made after its summary was opened
    assert page.page.locator(".tree li").count() > 1
    page.page.keyboard.press("Escape")
    page.page.wait_for_selector("#calls", state="visible")
    assert page.focused() == name


def test_the_focus_can_be_seen(page: Opened, report: Path) -> None:
    page.open(report)
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Tab")
    outline = page.page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "3px"


CONTRASTS = """
() => {
  const luminance = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => {
      const c = v / 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('main *, header *, footer *')]
    .filter((e) => e.offsetParent !== null && !e.closest('.plot')
      && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
    .map((e) => {
      const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return [e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30), ratio];
    })
    .filter(([, ratio]) => ratio < 4.5);
}
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read_in_both_themes(browser: Any, report: Path, dark: bool) -> None:
    with tab(browser, dark=dark) as page:
        page.open(report)
        assert page.page.evaluate(CONTRASTS) == []
        page.open(report, "#call-2").draw_all()
        assert page.page.evaluate(CONTRASTS) == []
        background = page.page.evaluate(
            "getComputedStyle(document.documentElement).backgroundColor"
        )
        assert background == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")
        paper = page.chart("Distribution").evaluate("p => p.layout.paper_bgcolor")
        assert paper == ("#14171a" if dark else "#ffffff")


def test_the_theme_can_be_chosen_and_charts_follow(page: Opened, report: Path) -> None:
    page.open(report, "#call-0").draw_all()
    button = page.page.locator("#theme")
    assert button.text_content() == "Theme: system"
    button.click()
    button.click()
    assert button.text_content() == "Theme: dark"
    plot = page.chart("Distribution")
    wait_until(plot, "p => p.layout.paper_bgcolor === '#14171a'")
    page.open(report)
    assert button.text_content() == "Theme: dark"


@pytest.mark.parametrize("part", ["", "#call-1", "#call-2"])
def test_a_phone_needs_no_scrolling_sideways(browser: Any, compared: Path, part: str) -> None:
    with tab(browser, PHONE, has_touch=True, is_mobile=True) as page:
        page.open(compared, part).draw_all()
        assert page.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert page.errors == []


# --- hostile text, other browsers, many calls ---------------------------------------------------


def test_hostile_text_is_only_text(page: Opened, folder: Path) -> None:
    path = written(folder, "hostile", report_page(hostile(), hostile(), base_name="<b>base</b>"))
    page.open(path).draw_all()
    page.open(path, "#call-0").draw_all()
    page.page.locator(".tree summary").first.click()
    assert page.page.evaluate("window.hacked") is None
    assert page.page.locator("main img, main b, main script, main i").count() == 0
    assert page.page.locator(".plot a").count() == 0
    assert page.title().startswith("test_models.py::test_it[<script>window.hacked=1</script>")
    (icicle,) = page.traces("Module, composite, operator, line")
    drawn = page.chart("Module, composite, operator, line").text_content()
    assert "</script>" in drawn or "<script>" in drawn or "window.hacked" in drawn
    assert icicle["labels"][0].startswith("&lt;/script&gt;")


def test_without_scripts_the_table_is_there(browser: Any, report: Path) -> None:
    with tab(browser, java_script_enabled=False) as page:
        page.page.goto(report.as_uri())
        assert len(page.page.locator("#calls tbody tr").all()) == 8
        assert "runs no scripts" in page.page.locator("noscript").text_content()
        assert page.page.locator("#filters").is_hidden()


def test_a_browser_that_cannot_unpack_says_which_can(browser: Any, report: Path) -> None:
    with tab(browser) as page:
        page.page.add_init_script("delete window.DecompressionStream")
        page.open(report)
        assert page.page.locator("#old").is_visible()
        page.page.locator("#calls thead button", has_text="p50 ms").click()
        assert page.names()[0].startswith("tests/test_models.py::test_latency[model7]")
        assert page.errors == []


def test_five_hundred_calls_open(page: Opened, folder: Path) -> None:
    text = report_page(several(500))
    assert len(text.encode()) <= LARGEST_BYTES
    page.open(written(folder, "many", text))
    assert len(page.names()) == 500
    page.page.get_by_label("Filter", exact=True).fill("model499")
    page.page.get_by_role("link", name="model499").first.click()
    page.page.wait_for_selector("#call-title")
    page.draw_all()
    assert "model499" in page.title()


def test_a_call_that_does_not_exist_is_the_overview(page: Opened, report: Path) -> None:
    page.open(report, "#call-99")
    assert page.title() == "8 measured calls"


# --- screenshots, for people to look at ---------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_screenshots_are_kept(
    browser: Any,
    screenshots: Path,
    report: Path,
    compared: Path,
    study: Path,
    kinds: Path,
    size: str,
    dark: bool,
) -> None:
    phone = {"has_touch": True, "is_mobile": True} if size == "phone" else {}
    theme = "dark" if dark else "light"
    with tab(browser, PHONE if phone else (1280, 900), dark=dark, **phone) as page:
        for name, path, part in (
            ("overview", report, ""), ("call", report, "#call-1"),
            ("comparison", compared, "#call-2"), ("study", study, "#study"),
            ("kinds", kinds, "#kinds"),
        ):  # fmt: skip
            page.open(path, part).draw_all()
            target = screenshots / f"{name}-{size}-{theme}.png"
            page.page.screenshot(path=target, full_page=True)
            assert target.stat().st_size > 10_000
