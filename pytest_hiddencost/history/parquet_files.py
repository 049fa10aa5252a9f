"""Rows to Parquet files and back; a file without a column has no values in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import StoredFile
from pytest_hiddencost.history.store_rows import Row
from pytest_hiddencost.history.store_tables import (
    SCHEMA_KEY,
    STORE_SCHEMA,
    STORE_TABLES,
    ColumnKind,
)

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_IN_GROUP = 8192  # few enough that one call's rows can be found without reading the rest


def arrow_schema(table: str) -> pa.Schema:
    """Return a table's columns as Arrow types."""
    import pyarrow as pa

    kinds: dict[ColumnKind, Any] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "moment": pa.timestamp("us", tz="UTC"),
        "integers": pa.list_(pa.int64()),
    }
    return pa.schema([(column.name, kinds[column.kind]) for column in STORE_TABLES[table]])


def parquet_of_rows(table: str, rows: Sequence[Row]) -> bytes:
    """Return a Parquet file of these rows. Raises ``ValueError``, ``OverflowError``."""
    import pyarrow as pa

    return parquet_of_table(pa.Table.from_pylist(list(rows), schema=arrow_schema(table)))


def parquet_of_table(found: pa.Table) -> bytes:
    """Return a Parquet file that names the version of its columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    marked = found.replace_schema_metadata({SCHEMA_KEY: str(STORE_SCHEMA).encode()})
    pq.write_table(marked, sink, compression="zstd", row_group_size=ROWS_IN_GROUP)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read_table(folder: StoreFolder, table: str, files: Sequence[StoredFile]) -> pa.Table:
    """Return the rows of files. Raises ``StoreError``, or ``FileNotFoundError`` if one is gone."""
    try:
        return dataset_of(folder, table, files).to_table()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # Arrow's errors are such
        raise StoreError(f"{folder.name}: cannot be read: {error}") from error


def dataset_of(folder: StoreFolder, table: str, files: Sequence[StoredFile]) -> Any:
    """Return files as one Arrow dataset: columns that a file lacks are missing values in it."""
    import pyarrow.dataset as ds

    paths = [folder.full_path(file) for file in files]
    return ds.dataset(
        paths,
        schema=arrow_schema(table),
        format="parquet",
        filesystem=None if folder.local else folder.filesystem,  # Arrow reads a disk faster itself
    )
