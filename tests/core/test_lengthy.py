"""Waits for long calls, as a person reads them."""

from __future__ import annotations

import pytest

from pytest_hiddencost.core.lengthy import format_wait


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (95.4, "95 s"),
        (119.9, "120 s"),
        (120.0, "2.0 min"),
        (154.0, "2.6 min"),
        (1_140.0, "19 min"),
        (9_000.0, "2.5 h"),
    ],
)
def test_a_wait_reads_as_a_person_would_say_it(seconds: float, text: str) -> None:
    assert format_wait(seconds) == text
