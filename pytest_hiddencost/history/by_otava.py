"""Change points by Apache Otava's library, for those who prefer its statistics to ours.

M. Fleming et al., "Hunter: Using Change Point Detection to Hunt for Performance Regressions",
ICPE 2023, https://doi.org/10.1145/3578244.3583719. Otava takes runs as independent and normal.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.history.change_points import (
    FEWEST,
    MOST_RUNS,
    SIGNIFICANCE,
    SMALLEST_CHANGE,
    ChangePoint,
)


def otava_changes(values: Sequence[float]) -> list[ChangePoint]:
    """Return the change points that Otava finds, with our p-value and smallest change.

    Raises ``ExtraError`` if Otava is not installed.
    """
    analysis = extra("otava.analysis", "otava", "--finder otava")
    skipped = max(0, len(values) - MOST_RUNS)
    series = list(values[skipped:])
    if len(series) < 2 * FEWEST:
        return []
    found, _ = analysis.compute_change_points(
        series, max_pvalue=SIGNIFICANCE, min_magnitude=SMALLEST_CHANGE
    )
    edges = [0, *(int(one.index) for one in found), len(series)]
    return [
        ChangePoint(
            at + skipped,
            float(one.stats.forward_rel_change()),
            float(one.stats.pvalue),
            at - before,
            after - at,
        )
        for one, before, at, after in zip(found, edges, edges[1:], edges[2:], strict=False)
    ]
