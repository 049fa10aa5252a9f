"""Measurements that no other process disturbs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.suites import undisturbed


@pytest.fixture(scope="package", autouse=True)
def _undisturbed() -> Iterator[None]:
    """Other tests look at what a busy or hot device changes."""
    with undisturbed():
        yield
