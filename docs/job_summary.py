"""The picture of a job summary: a small project's run as on GitHub Actions, rendered by Chromium.

Run it by ``python -m docs.job_summary``; it needs playwright, markdown-it-py and Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from markdown_it import MarkdownIt
from playwright.sync_api import sync_playwright

PATH = Path(__file__).parent / "job-summary.png"
WIDTH = 1120
OPTIONS = (
    "--hiddencost-threads=1", "--hiddencost-max-time=300ms", "--hiddencost-baseline-dir=off",
)  # fmt: skip
MODEL = """\
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels // 2, channels // 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels // 2)

    def forward(self, x):
        left, right = x.chunk(2, dim=1)
        return torch.cat([left, torch.relu(self.norm(self.conv(right)))], dim=1)


def net(blocks, channels):
    return nn.Sequential(*(Block(channels) for _ in range(blocks))).eval()
"""
TESTS = """\
import pytest
import torch
from vision.net import net

IMAGE = torch.ones(1, 32, 28, 28)


@pytest.mark.latency_budget(operators={"concatenation": "4 calls"})
def test_small(hiddencost):
    hiddencost(net(4, 32), IMAGE)


@pytest.mark.latency_budget(operators={"concatenation": "6 calls"})
def test_large(hiddencost):
    hiddencost(net(8, 32), IMAGE)


@pytest.mark.latency_budget(p99="20 ms")
def test_tail(hiddencost):
    hiddencost(net(2, 32), IMAGE)
"""
STYLE = """
body { font: 14px/1.5 "Liberation Sans", "DejaVu Sans", "Noto Color Emoji", sans-serif;
       color: #1f2328; margin: 24px; }
h3 { font-size: 20px; margin: 0 0 12px; } h4 { font-size: 15px; margin: 20px 0 8px; }
table { border-collapse: collapse; } td:first-child { white-space: nowrap; }
th, td { border: 1px solid #d1d9e0; padding: 5px 10px; }
tr:nth-child(even) td { background: #f6f8fa; }
code { background: #eff1f3; border-radius: 5px; padding: 2px 5px;
       font: 12px "DejaVu Sans Mono", monospace; }
pre { background: #f6f8fa; padding: 12px; } pre code { background: none; padding: 0; }
summary { margin: 8px 0; }
"""


def summary() -> str:
    """Return the Markdown that the run of the project adds to its job's summary."""
    with TemporaryDirectory() as folder:
        files = {"src/vision/__init__.py": "", "src/vision/net.py": MODEL, "test_net.py": TESTS}
        files["pytest.ini"] = "[pytest]\npythonpath = src\n"
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for command in (["git", "init", "--quiet"], ["git", "add", "--all"]):
            subprocess.run(command, cwd=folder, check=True)
        written = Path(folder, "summary.md")
        variables = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(written)}
        subprocess.run(
            [sys.executable, "-m", "pytest", *OPTIONS],
            cwd=folder,
            env={**os.environ, **variables},
            check=False,
        )
        return written.read_text(encoding="utf-8")


def draw(markdown: str, path: Path) -> None:
    """Render Markdown and write a picture of it."""
    body = MarkdownIt("commonmark").enable("table").render(markdown)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": 400})
        page.set_content(f"<!doctype html><style>{STYLE}</style>{body}")
        page.screenshot(path=path, full_page=True)
        browser.close()


if __name__ == "__main__":
    draw(summary(), PATH)
