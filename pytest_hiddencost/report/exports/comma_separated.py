"""CSV of a run: one of the tables, as spreadsheets and data frames read it."""

from __future__ import annotations

import csv
from io import StringIO

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.exports.export_tables import EXPORT_TABLES, ExportCell
from pytest_hiddencost.report.run_file import RunFile

# A spreadsheet runs a cell that begins so as a formula, even one in quotes.
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def csv_text(run: RunFile, table: str = "calls") -> str:
    """Return a table of the run as CSV with a head; an unknown value is an empty cell."""
    found = EXPORT_TABLES[table](run)
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in found.columns])
    writer.writerows([[_cell(cell) for cell in row] for row in found.rows])
    return text.getvalue()


def _cell(cell: ExportCell) -> ExportCell:
    if isinstance(cell, bool):
        return str(cell).lower()
    if not isinstance(cell, str):
        return cell
    text = printable(cell)  # a row is one line
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
