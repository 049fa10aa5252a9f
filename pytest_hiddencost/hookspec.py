"""Hooks of pytest-hiddencost that a conftest.py or plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


def pytest_hiddencost_taxonomy(config: pytest.Config) -> Mapping[str, str] | None:
    """Place operators in groups: ``{"mylib::norm": "normalization", "mylib::*gemm*": "mac"}``.

    Keys are operator names as the profiler shows them, or globs; values are group names. Your
    entries win over the built-in table; where several plugins answer, the one called first wins.
    A group that does not exist is an error naming those that do.
    """
