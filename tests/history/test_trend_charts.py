"""Charts of trends: what drawing one asks of a series."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from pytest_hiddencost.history.series import CallSeries, RunPoint
from pytest_hiddencost.history.trend_charts import chart_of
from tests.history.stored_runs import START


@pytest.mark.parametrize("count", [10, 200])
def test_a_long_series_is_searched_for_fit_runs_as_often_as_a_short_one(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[CallSeries] = []
    fit_points: Callable[[CallSeries], tuple[RunPoint, ...]]
    fit_points = vars(CallSeries)["fit_points"].fget

    def counted(series: CallSeries) -> tuple[RunPoint, ...]:
        searched.append(series)
        return fit_points(series)

    points = tuple(
        RunPoint(str(day), START + timedelta(days=day), 1e6, None, None, day % 5 > 0)
        for day in range(count)
    )
    monkeypatch.setattr(CallSeries, "fit_points", property(counted))
    chart = chart_of(CallSeries("d", "t", "", "p50", points, {}), [], "")
    assert len(chart["data"][-1]["x"]) == count // 5
    assert len(searched) == 2
