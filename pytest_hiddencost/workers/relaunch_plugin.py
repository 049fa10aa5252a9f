"""The plugin that makes a pytest a relaunch; the run that starts it loads it with ``-p``."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the file for the profiles, and the regression to inject."""
    group = parser.getgroup("hiddencost")
    group.addoption("--hiddencost-relaunch")
    group.addoption("--hiddencost-injection", default="")
