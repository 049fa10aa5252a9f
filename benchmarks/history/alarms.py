"""False alarms of the gate on trends in a year of runs, and the changes that it finds."""

from __future__ import annotations

import numpy as np

from benchmarks.history.finders import FINDERS, OURS
from benchmarks.history.noises import NOISES, Series
from benchmarks.lib.log import Figures
from pytest_hiddencost.history.change_points import MOST_RUNS, ChangePoint

YEAR, BEFORE = 365, 60  # runs, one a day; those before the year are no year's alarms
LAST = 20
APART = 10  # runs: an alarm at nearly the same place is the same one
GROWTHS = (0.03, 0.05, 0.1, 0.2)
AFTER = (6, 10, 20)  # runs after a change


def alarms_of(logs: Series, finder: str = OURS) -> tuple[int, int]:
    """Return the number of rises and falls that a gate reports in the year, asked every day."""
    values, find = np.exp(logs).tolist(), FINDERS[finder]
    places: dict[bool, list[int]] = {True: [], False: []}
    for day in range(BEFORE, BEFORE + YEAR):
        start = max(0, day + 1 - MOST_RUNS)
        for change in find(values[start : day + 1]):
            place = start + change.index
            told = places[change.growth > 0]
            recent = day + 1 - place <= LAST
            if recent and all(abs(place - other) > APART for other in told):
                told.append(place)
    return len(places[True]), len(places[False])


def false_alarms(noise: str, histories: int, number: int, finder: str = OURS) -> Figures:
    """Return the alarms of histories in which nothing changed."""
    random = np.random.default_rng([number, 1])
    found = [alarms_of(NOISES[noise](random, BEFORE + YEAR), finder) for _ in range(histories)]
    return {
        "histories": histories,
        "rises": sum(rises for rises, _ in found),
        "falls": sum(falls for _, falls in found),
    }


def found_changes(noise: str, histories: int, number: int, finder: str = OURS) -> Figures:
    """Return the share of changes found 6, 10 and 20 runs after, by growth, 60 runs before."""
    random = np.random.default_rng([number, 2])
    figures: dict[str, float] = {"histories": histories}
    for growth in GROWTHS:
        counts = dict.fromkeys(AFTER, 0)
        for _ in range(histories):
            logs = NOISES[noise](random, BEFORE + max(counts))
            logs[BEFORE:] += np.log1p(growth)
            for after in counts:
                found = FINDERS[finder](np.exp(logs[: BEFORE + after]).tolist())
                counts[after] += _near(found)
        figures |= {f"{growth:g} after {n}": count / histories for n, count in counts.items()}
    return figures


def _near(changes: list[ChangePoint]) -> bool:
    return any(change.growth > 0 and abs(change.index - BEFORE) <= 5 for change in changes)
