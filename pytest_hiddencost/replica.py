"""The plugin that makes a pytest a replica: loaded with ``-p`` by the run that starts it."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to leave what was measured, and what to plant."""
    group = parser.getgroup("hiddencost")
    group.addoption("--hiddencost-replica", dest="hiddencost_replica", default=None)
    group.addoption("--hiddencost-plant", dest="hiddencost_plant", default="")
