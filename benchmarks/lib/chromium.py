"""Headless Chromium that is installed on this machine, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_GET_IT = (
    "install Chromium (Debian, Ubuntu: apt-get install chromium), or name one with the "
    "environment variable CHROMIUM"
)


def chromium() -> str | None:
    """Return the path of Chromium; the environment variable CHROMIUM goes first."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched() -> Iterator[Any]:
    """Give a browser of Playwright. Raises ``FileNotFoundError`` if there is no Chromium."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        raise FileNotFoundError(HOW_TO_GET_IT)
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root otherwise
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def wait_until(where: Any, expression: str, limit_s: float = 30.0, poll_ms: int = 20) -> None:
    """Wait until JavaScript is true in a page, or of a locator. Raises ``TimeoutError``.

    Playwright's ``wait_for_function`` evaluates text inside the page, which the report forbids.
    """
    end_s = monotonic() + limit_s
    while not where.evaluate(expression):
        if monotonic() > end_s:
            raise TimeoutError(f"not true within {limit_s:g} s: {expression}")
        getattr(where, "page", where).wait_for_timeout(poll_ms)
