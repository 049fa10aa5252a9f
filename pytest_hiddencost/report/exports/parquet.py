"""Parquet of a run: one of the tables, with types (extra ``parquet``)."""

from __future__ import annotations

from io import BytesIO

from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.exports.export_tables import EXPORT_TABLES, ExportCell
from pytest_hiddencost.report.run_file import RunFile


def parquet_bytes(run: RunFile, table: str = "calls") -> bytes:
    """Return a table of the run as a Parquet file. Raises ``ExtraError`` without pyarrow."""
    pyarrow = extra("pyarrow", "parquet", "--format parquet")
    writer = extra("pyarrow.parquet", "parquet", "--format parquet")
    types = {
        "text": pyarrow.string(), "int": pyarrow.int64(), "float": pyarrow.float64(),
        "bool": pyarrow.bool_(),
    }  # fmt: skip
    found = EXPORT_TABLES[table](run)
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in found.columns])
    rows = [[_valid(cell) for cell in row] for row in found.rows]
    cells = [[row[i] for row in rows] for i in range(len(found.columns))]
    arrays = [
        pyarrow.array(column, type=field.type) for column, field in zip(cells, schema, strict=True)
    ]
    file = BytesIO()
    writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), file)
    return file.getvalue()


def _valid(cell: ExportCell) -> ExportCell:
    """Return the cell; halves of characters cannot be stored as UTF-8."""
    if isinstance(cell, str) and not cell.isascii():
        return printable(cell) if any("\ud800" <= c <= "\udfff" for c in cell) else cell
    return cell
