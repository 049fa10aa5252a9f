"""Made-up histories without a change: the logarithm of a call's p50, one run a day."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
SCATTER = 0.015  # of one run, as a share: launches of one call on quiet boards differ so much


def _autoregressive(random: np.random.Generator, shocks: Series, coefficient: float) -> Series:
    """Return an autoregression of order one with the scatter of the shocks."""
    found = np.empty_like(shocks)
    found[0] = shocks[0]
    rest = np.sqrt(1 - coefficient**2)
    for i in range(1, len(shocks)):
        found[i] = coefficient * found[i - 1] + rest * shocks[i]
    return found


def _normal(random: np.random.Generator, days: int) -> Series:
    return random.normal(0, SCATTER, days)


def _student(random: np.random.Generator, days: int) -> Series:
    """Return Student's t of 3 degrees, with the usual scatter."""
    found: Series = random.standard_t(3, days) * SCATTER / np.sqrt(3)
    return found


def _slow_runs(random: np.random.Generator, days: int, share: float = 0.05) -> Series:
    """Return the extra time of slow runs, 5 to 30 % each; they come one by one."""
    return random.uniform(0.05, 0.3, days) * (random.random(days) < share)


def _heavy(random: np.random.Generator, days: int, coefficient: float = 0.0) -> Series:
    """Return heavy tails, and one slow run in twenty."""
    runs = _autoregressive(random, _student(random, days), coefficient)
    return runs + _slow_runs(random, days)


def _spells(random: np.random.Generator, days: int) -> Series:
    """Return spells of one to four slow runs in a row, four spells in a year."""
    found = _autoregressive(random, _student(random, days), 0.3)
    for start in np.flatnonzero(random.random(days) < 4 / 365):
        length = int(random.integers(1, 5))
        found[start : start + length] += random.uniform(0.05, 0.3)
    return found


def _seasons(random: np.random.Generator, days: int) -> Series:
    """Return a wave of a year, 1 % to each side, under heavy tails with correlation."""
    phase = random.uniform(0, 2 * np.pi)
    wave: Series = 0.01 * np.sin(2 * np.pi * np.arange(days) / 365 + phase)
    return wave + _heavy(random, days, 0.3)


def _walk(random: np.random.Generator, days: int) -> Series:
    """Return a random walk of 0.05 % a day under independent noise: about 1 % in a year."""
    return np.cumsum(random.normal(0, 0.0005, days)) + _normal(random, days)


NOISES: dict[str, Callable[[np.random.Generator, int], Series]] = {
    "independent": _normal,
    "heavy tails": _heavy,
    "correlation 0.5": lambda r, n: _autoregressive(r, _normal(r, n), 0.5),
    "correlation 0.5, heavy tails": lambda r, n: _heavy(r, n, 0.5),
    "correlation 0.8": lambda r, n: _autoregressive(r, _normal(r, n), 0.8),
    "slow spells": _spells,
    "seasons": _seasons,
    "random walk": _walk,
}
