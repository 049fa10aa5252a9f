"""The picture of README and of the page on reports: the report's icicle of one model."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.lib.chromium import HOW_TO_GET_IT, chromium, launched
from pytest_hiddencost import profile
from pytest_hiddencost.measure.device.description import describe_device
from pytest_hiddencost.report.html.page import report_page
from pytest_hiddencost.report.run_file import RunFile
from pytest_hiddencost.study.models import reference_model

PATH = Path(__file__).parent / "hidden-costs.png"
MODEL = "ShuffleNetV2"
WIDTH = 980  # pixels
FIGURE = "#call figure:has(.plot)"  # the first one


def draw() -> None:
    """Measure the model and write the picture; leave it as it is where there is no Chromium."""
    if chromium() is None or find_spec("playwright") is None:
        print(f"{PATH.name} stays as it is: pip install playwright, and {HOW_TO_GET_IT}")
        return
    model = reference_model(MODEL).build().eval()
    measured = profile(model, torch.randn(1, 3, 32, 32))
    page = report_page(RunFile(describe_device(torch.device("cpu")), (measured,)))
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        path = Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        _photograph(browser, path)


def _photograph(browser: Any, path: Path) -> None:
    tab = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
    tab.goto(path.as_uri() + "#call-0")
    figure = tab.locator(FIGURE).first
    figure.scroll_into_view_if_needed()
    tab.wait_for_selector("#call .plot[data-drawn]")
    figure.screenshot(path=PATH)
