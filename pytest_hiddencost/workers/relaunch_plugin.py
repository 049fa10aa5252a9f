"""The plugin that makes a pytest a relaunch: loaded with ``-p`` by the run that starts it."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register where the profiles are left, and which regression is injected."""
    group = parser.getgroup("hiddencost")
    group.addoption("--hiddencost-relaunch", dest="hiddencost_relaunch", default=None)
    group.addoption("--hiddencost-injection", dest="hiddencost_injection", default="")
