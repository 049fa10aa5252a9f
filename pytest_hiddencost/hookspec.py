"""Hooks of pytest-hiddencost that a conftest.py or plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


def pytest_hiddencost_taxonomy(config: pytest.Config) -> Mapping[str, str] | None:
    """Return groups of operators: ``{"mylib::norm": "normalization", "mylib::*gemm*": "mac"}``.

    Keys are operator names as the profiler shows them, or globs; values are group names. Your
    entries win over the built-in table; if several plugins answer, the one called first wins.
    For a group that does not exist, the plugin reports an error that lists the groups.
    """
