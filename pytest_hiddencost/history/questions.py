"""The questions of ``hiddencost history`` as SQL: figures of calls, grouped or run by run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_hiddencost.history.database import HistoryDatabase

OF_RUNS = ("branch", "torch", "version", "commit", "dirty")  # columns that only runs has


@dataclass(frozen=True)
class QueryTable:
    """A table: names of columns, and rows."""

    headers: list[str]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Asked:
    """The selection of calls: a piece of the test's id with its label, a branch, a torch version.

    ``operator``: the figures are those of one operator.
    """

    test: str = ""
    branch: str = ""
    torch: str = ""
    operator: str = ""

    @property
    def of_runs(self) -> bool:
        """Whether rows of ``runs`` decide."""
        return bool(self.branch or self.torch)

    def condition(self) -> tuple[str, list[object]]:
        """Return the condition on the rows, and its values."""
        parts: dict[str, str] = {
            "(test = ? OR contains(concat_ws(' ', test, nullif(label, '')), ?))": self.test,
            "branch = ?": self.branch,
            "starts_with(torch, ?)": self.torch,
            "name = ?": self.operator,
        }
        found = {sql: value for sql, value in parts.items() if value}
        values = [value for sql, value in found.items() for _ in range(sql.count("?"))]
        return " AND ".join(found) or "true", list(values)


def grouped_figures(database: HistoryDatabase, asked: Asked, by: tuple[str, ...]) -> QueryTable:
    """Return one row for each call and group: number of runs, newest and median figures."""
    groups = ", ".join(by)
    condition, values = asked.condition()
    figures = (
        "arg_max(self_ns, time) AS self_ns, median(self_ns) AS median_self_ns, "
        "arg_max(calls, time) AS calls"
        if asked.operator
        else "arg_max(p50_ns, time) AS p50_ns, median(p50_ns) AS median_p50_ns, "
        "arg_max(non_mac_ns, time) AS non_mac_ns, arg_max(macs, time) AS macs, "
        "arg_max(verdict, time) AS verdict"
    )
    sql = (
        f"SELECT test, label, {groups}, count(*) AS runs, max(time) AS newest, {figures} "
        f"FROM {_source(asked, by)} WHERE {condition} "
        f"GROUP BY test, label, {groups} ORDER BY test, label, {groups}"
    )
    return QueryTable(*database.rows(sql, values))


def figures_by_run(database: HistoryDatabase, asked: Asked) -> QueryTable:
    """Return one row for each run and call, in the order of time."""
    figures = (
        "name, calls, self_ns, mac_share"
        if asked.operator
        else "p50_ns, non_mac_ns, mac_ns, macs, peak_bytes, energy_nj, verdict, fit"
    )
    condition, values = asked.condition()
    sql = (
        "SELECT time, device, test, label, commit, dirty, branch, torch, version, "
        f"{figures} FROM {_source(asked, OF_RUNS)} WHERE {condition} "
        "ORDER BY test, label, device, time"
    )
    return _unless_empty(QueryTable(*database.rows(sql, values)), "energy_nj")


def _unless_empty(found: QueryTable, name: str) -> QueryTable:
    """Return a table without the column of this name if it has no value: few runs measure it."""
    if name not in found.headers:
        return found
    at = list(found.headers).index(name)
    if any(row[at] is not None for row in found.rows):
        return found
    headers = [*found.headers[:at], *found.headers[at + 1 :]]
    return QueryTable(headers, [(*row[:at], *row[at + 1 :]) for row in found.rows])


def _source(asked: Asked, needs: tuple[str, ...]) -> str:
    table = "operators" if asked.operator else "profiles"
    if not asked.of_runs and not set(needs) & set(OF_RUNS):
        return table
    columns = ", ".join(("run_id", *OF_RUNS))
    return f"{table} JOIN (SELECT {columns} FROM runs) USING (run_id)"
