"""Libraries that a part of the plugin needs, and that are installed as its extras."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from pytest_hiddencost.core.errors import HiddenCostError


class ExtraError(HiddenCostError, ImportError):
    """A library of one of the plugin's extras that is not installed."""


def extra(module: str, extra_name: str, wanted_by: str) -> Any:
    """Return a module of an extra; raise ``ExtraError`` with the command that installs it."""
    package = module.partition(".")[0]
    if find_spec(package) is None:
        raise ExtraError(
            f"{wanted_by}: {package} is not installed; run "
            f"pip install 'pytest-hiddencost[{extra_name}]'"
        )
    return import_module(module)
