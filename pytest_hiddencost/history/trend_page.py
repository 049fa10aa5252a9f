"""The page of trends: one HTML file that needs neither a server nor a network."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from pytest_hiddencost import __version__
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.history.database import HistoryDatabase
from pytest_hiddencost.history.found_changes import FINDERS, FoundChange, changes_of
from pytest_hiddencost.history.questions import Asked
from pytest_hiddencost.history.series import CallSeries, each_series
from pytest_hiddencost.history.trend_charts import chart_of, lines_below
from pytest_hiddencost.report.html.libraries import page_template, plotly_script
from pytest_hiddencost.report.html.packing import script_hash

MOST_CHARTS = 60
SCRIPT = """
const charts = JSON.parse(document.getElementById("charts").textContent);
const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
  if (!entry.isIntersecting) return;
  seen.unobserve(entry.target);
  const chart = charts[Number(entry.target.dataset.chart)];
  Plotly.newPlot(entry.target, chart.data, chart.layout, {responsive: true, displaylogo: false});
}), {rootMargin: "400px"});
document.querySelectorAll(".chart").forEach((element) => seen.observe(element));
"""


@dataclass(order=True)
class _Shown:
    """A series by the size of its largest change; the first of equal ones is kept."""

    size: float
    number: int
    series: CallSeries = field(compare=False)
    changes: list[FoundChange] = field(compare=False)


class TrendPage:
    """Takes series one by one, and keeps those that changed most; ``finder`` is one by name."""

    def __init__(
        self, quantity: str, operator: str = "", finder: str = "ranks", most: int = MOST_CHARTS
    ) -> None:
        self._quantity, self._operator, self._most = quantity, operator, most
        self._finder = FINDERS[finder]
        self._kept: list[_Shown] = []
        self._series = self._changes = 0

    def take(self, series: CallSeries) -> None:
        """Take in the series of one call on one device."""
        changes = changes_of(series, self._finder)
        self._changes += len(changes)
        size = max((abs(change.growth) for change in changes), default=0.0)
        self._series += 1
        heapq.heappush(self._kept, _Shown(size, -self._series, series, changes))
        if len(self._kept) > self._most:
            heapq.heappop(self._kept)

    def rendered(self, name: str) -> str:
        """Return the page; ``name`` is the store's."""
        shown = sorted(self._kept, reverse=True)
        charts = [chart_of(one.series, one.changes, self._operator) for one in shown]
        plotly = plotly_script()
        quantity = self._operator or self._quantity.replace("_", " ")
        return str(
            _template().render(
                title=printable(f"{quantity}: trends of {name}"),
                summary=self._summary(len(shown)),
                sections=[_section(one, self._operator) for one in shown],
                charts=_script_json(charts),
                plotly=_markup(plotly),
                script=_markup(SCRIPT),
                policy=f"{script_hash(plotly)} {script_hash(SCRIPT)}",
                footer=f"pytest-hiddencost {__version__}",
            )
        )

    def _summary(self, shown: int) -> str:
        changes = "1 change point" if self._changes == 1 else f"{self._changes} change points"
        text = f"{self._series} series of calls on devices, {changes}."
        if shown < self._series:
            text += f" The {shown} that changed most are shown; choose others with --test."
        return text


def _section(one: _Shown, operator: str) -> dict[str, Any]:
    _, relative = one.series.comparable()
    lines = lines_below(one.series, one.changes, operator)
    return {
        "call": printable(one.series.call),
        "device": printable(one.series.device),
        "runs": len(one.series.points),
        "scale": "relative to the reference workload" if relative else "absolute",
        "lines": [printable(line) for line in lines],
    }


def trend_page(
    database: HistoryDatabase, asked: Asked, quantity: str, finder: str = "ranks"
) -> str:
    """Return the page on a quantity of the calls that were asked for."""
    page = TrendPage(quantity, asked.operator, finder)
    each_series(database, asked, quantity, page.take)
    return page.rendered(database.folder.name)


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # our own script and Plotly's


def _script_json(data: Any) -> Any:
    """Return JSON in which nothing can end the script element."""
    return _markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"))


def _template() -> Any:
    text = files(__package__).joinpath("assets/trends.html.jinja").read_text(encoding="utf-8")
    return page_template(text)
