"""Parquet: the same tables with types, and one line if pyarrow is missing."""

from __future__ import annotations

import sys
from io import BytesIO
from typing import Any

import pytest

from pytest_hiddencost.core.extras import ExtraError
from pytest_hiddencost.report.exports.export_tables import EXPORT_TABLES
from pytest_hiddencost.report.exports.parquet import parquet_bytes
from tests.profiles import network
from tests.report.exports.runs import HOSTILE, hostile, run_of, sited


def table_of(data: bytes) -> Any:
    return pytest.importorskip("pyarrow.parquet").read_table(BytesIO(data))


@pytest.mark.parametrize("name", EXPORT_TABLES)
def test_the_cells_are_those_of_the_table(name: str) -> None:
    run = run_of(sited(), network())
    table = table_of(parquet_bytes(run, name))
    expected = EXPORT_TABLES[name](run)
    assert table.column_names == [column.name for column in expected.columns]
    assert [list(row.values()) for row in table.to_pylist()] == expected.rows


def test_columns_have_types_even_without_rows() -> None:
    table = table_of(parquet_bytes(run_of()))
    types = {field.name: str(field.type) for field in table.schema}
    assert (types["test"], types["p50_ns"], types["macs"], types["fit"]) == (
        "string",
        "double",
        "int64",
        "bool",
    )


def test_any_name_can_be_stored() -> None:
    found = table_of(parquet_bytes(hostile())).column("test").to_pylist()
    assert set(found) == set(HOSTILE)
    broken = run_of(network(test="half a character: \ud800"))
    assert table_of(parquet_bytes(broken)).column("test").to_pylist() == [
        "half a character: \\ud800"
    ]


def test_without_pyarrow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExtraError) as error:
        parquet_bytes(run_of())
    assert str(error.value) == (
        "--format parquet: pyarrow is not installed; run pip install 'pytest-hiddencost[parquet]'"
    )
