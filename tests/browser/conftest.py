"""Headless Chromium, driven by Playwright; screenshots are kept in build/browser.

Tests run by ``tox run -e browser``. Without Playwright nothing here is collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lib.chromium import HOW_TO_GET_IT, chromium, launched

if find_spec("playwright") is None:
    collect_ignore_glob = ["test_*.py"]

SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


def pytest_collection_finish(session: pytest.Session) -> None:
    if chromium() is None and any(item.get_closest_marker("browser") for item in session.items):
        raise pytest.UsageError(f"no Chromium is installed: {HOW_TO_GET_IT}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chromium for all tests."""
    with launched() as found:
        yield found


@pytest.fixture
def screenshots() -> Path:
    """The folder of the screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
