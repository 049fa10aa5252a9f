"""The plugin that makes a pytest a relaunch; the run that starts it loads it with ``-p``."""

from __future__ import annotations

import pytest

FOREVER_S = 1e9


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the file for the profiles, and the regression to inject."""
    group = parser.getgroup("hiddencost")
    group.addoption("--hiddencost-relaunch")
    group.addoption("--hiddencost-injection", default="")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Lift pytest-timeout's limit for a session: it is meant for the run that asks."""
    if config.getoption("hiddencost_relaunch") and hasattr(config.option, "session_timeout"):
        config.option.session_timeout = FOREVER_S


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_timeout_set_timer() -> bool:
    """Set no timer of pytest-timeout: the run that asks limits the time of this process."""
    return True
