"""The pictures of README and of two pages: the report's icicle, and its table of calls."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.lib.chromium import HOW_TO_GET_IT, chromium, launched
from pytest_hiddencost import profile
from pytest_hiddencost.measure.device.description import describe_device
from pytest_hiddencost.report.html.page import report_page
from pytest_hiddencost.report.run_file import RunFile, read
from pytest_hiddencost.study.models import reference_model

PATH = Path(__file__).parent / "hidden-costs.png"
MODEL = "ShuffleNetV2"
WIDTH = 980  # pixels
MATRIX = PATH.with_name("named-models.png")
MATRIX_MODEL = """\
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU())
"""
VARIANTS = (
    "--hiddencost-model=nets:Net", "--hiddencost-input=1x3x64x64", "--hiddencost-batch=1,8",
    "--hiddencost-dtype=float32,bfloat16", "--hiddencost-compile", "--hiddencost-json=run.json",
)  # fmt: skip
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
        _photograph_matrix(browser, Path(folder))


def _photograph_matrix(browser: Any, folder: Path) -> None:
    """Measure the variants of a named model, and photograph the report's table of calls."""
    (folder / "nets.py").write_text(MATRIX_MODEL, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "pytest", "-q", *VARIANTS], cwd=folder, check=True)
    path = folder / "matrix.html"
    path.write_text(report_page(read(folder / "run.json")), encoding="utf-8")
    tab = browser.new_page(viewport={"width": WIDTH, "height": 640}, color_scheme="light")
    tab.goto(path.as_uri())
    tab.locator("main table").first.screenshot(path=MATRIX)


def _photograph(browser: Any, path: Path) -> None:
    tab = browser.new_page(viewport={"width": WIDTH, "height": 800}, color_scheme="light")
    tab.goto(path.as_uri() + "#call-0")
    figure = tab.locator(FIGURE).first
    figure.scroll_into_view_if_needed()
    tab.wait_for_selector("#call .plot[data-drawn]")
    figure.screenshot(path=PATH)
