"""Questions to the store: what is read, what is refused, and older versions of the columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history.database import HistoryDatabase, StorePart, ask
from pytest_hiddencost.history.questions import Asked, QueryTable, figures_by_run, grouped_figures
from pytest_hiddencost.history.store_folder import StoreFolder
from tests.history.stored_runs import PI, START, measured, rows, stored

OTHER = replace(PI, key="cpu-x86-server", torch="2.14.1")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    stored(tmp_path, [measured(10e6), measured(5e6, label="it's <b>")], 0, branch="main")
    stored(tmp_path, [measured(12e6)], 1, branch="faster")
    stored(tmp_path, [measured(2e6)], 40, OTHER, branch="main")
    return tmp_path


def asked(store: Path, *by: str, **wanted: str) -> list[dict[str, object]]:
    def question(database: HistoryDatabase) -> QueryTable:
        if by == ("run",):
            return figures_by_run(database, Asked(**wanted))
        return grouped_figures(database, Asked(**wanted), by or ("device",))

    found = ask(StoreFolder(str(store)), StorePart(), question)
    return [dict(zip(found.headers, row, strict=True)) for row in found.rows]


def test_a_row_for_each_call_and_device_has_newest_and_median_figures(store: Path) -> None:
    found = asked(store)
    assert [(row["device"], row["label"], row["runs"]) for row in found] == [
        (PI.key, "", 2), (OTHER.key, "", 1), (PI.key, "it's <b>", 1),
    ]  # fmt: skip
    assert (found[0]["p50_ns"], found[0]["median_p50_ns"], found[0]["macs"]) == (
        12e6,
        11e6,
        30 * 10**6,
    )
    assert found[0]["non_mac_ns"] == 6e6


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("branch", {"main": 2, "faster": 1}),
        ("torch", {"2.13.0": 2, "2.14.1": 1}),
        ("device", {PI.key: 2, OTHER.key: 1}),
    ],
)
def test_rows_are_grouped_by_branch_version_or_device(
    store: Path, by: str, groups: dict[str, int]
) -> None:
    found = asked(store, by, test="test_it")
    assert {row[by]: row["runs"] for row in found if not row["label"]} == groups


def test_one_operator_has_its_time_and_calls(store: Path) -> None:
    [row] = asked(store, "torch", operator="aten::cat", torch="2.14")
    assert (row["self_ns"], row["calls"], row["torch"]) == (1e6, 12, "2.14.1")
    [first, *_] = asked(store, "run", operator="aten::cat")
    assert (first["name"], first["calls"]) == ("aten::cat", 12)


def test_runs_are_listed_in_the_order_of_time(store: Path) -> None:
    found = asked(store, "run", test="test_it", branch="main")
    assert [row["p50_ns"] for row in found if not row["label"]] == [10e6, 2e6]


def test_a_test_is_found_by_a_part_of_its_id_or_its_label(store: Path) -> None:
    assert len(asked(store, test="models.py::test_it")) == 3
    assert len(asked(store, test="it's <b>")) == 1
    assert asked(store, test="test_other") == []


def test_devices_and_days_choose_a_part(store: Path) -> None:
    count = "SELECT count(*) FROM profiles"
    assert rows(store, count, StorePart(("raspberry-pi",))) == [(3,)]
    assert rows(store, count, StorePart(("*-server", "nothing"))) == [(1,)]
    assert rows(store, count, StorePart(since=START + timedelta(hours=12))) == [(2,)]
    assert rows(
        store, "SELECT count(*) FROM runs", StorePart(since=START + timedelta(days=99))
    ) == [(0,)]
    with pytest.raises(StoreError, match=r"no device matches jetson; it has cpu-r.*, cpu-x86"):
        rows(store, count, StorePart(("jetson",)))


def test_an_empty_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"holds no runs; pytest --hiddencost-store=.* adds"):
        rows(tmp_path / "nowhere", "SELECT 1")


# --- --sql reads, and nothing else --------------------------------------------------------------


def sql(store: Path, text: str) -> list[tuple[object, ...]]:
    return ask(StoreFolder(str(store)), StorePart(), lambda db: db.question(text))[1]


def test_any_select_on_the_three_tables_is_answered(store: Path) -> None:
    text = """
        WITH newest AS (SELECT test, arg_max(p50_ns, time) AS p50 FROM profiles GROUP BY test)
        SELECT p50 FROM newest
    """
    assert sql(store, text) == [(2e6,)]
    assert sql(store, "FROM runs JOIN operators USING (run_id) SELECT count(DISTINCT name)") == [
        (5,)
    ]
    assert sql(store, "SELECT list_max(samples) FROM profiles LIMIT 1")[0][0] is not None


@pytest.mark.parametrize(
    "text",
    [
        "COPY runs TO '{out}'",
        "COPY (SELECT 1) TO '{out}'",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO stored_runs SELECT * FROM stored_runs",
        "DROP VIEW runs",
        "ATTACH '{out}'",
        "SET enable_external_access = true",
        "EXPORT DATABASE '{out}'",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "",
        "SELEC 1",
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM '{secret}'",
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM glob('{secret}')",
        "SELECT * FROM read_parquet('{parquet}')",
        "EXPLAIN ANALYZE COPY runs TO '{out}'",
        "COPY (SELECT 1) TO '{profiles}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{profiles}'",
        "SELECT * FROM query('COPY runs TO ''{profiles}''')",
        "SELECT nothing FROM runs",
    ],
)
def test_writing_and_reading_elsewhere_is_refused(store: Path, text: str) -> None:
    secret = store / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    parquet = next(store.glob("runs/*/*/*.parquet"))
    profiles = next(store.glob("profiles/*/*/*.parquet"))  # the query may read this one
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    text = text.format(out=store / "out", secret=secret, parquet=parquet, profiles=profiles)
    with pytest.raises(StoreError):
        sql(store, text)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


# --- versions of the columns --------------------------------------------------------------------


def without_columns(path: Path, *names: str) -> None:
    table = pq.ParquetFile(path).read()
    pq.write_table(table.drop_columns(list(names)), path)


def test_columns_that_an_older_version_did_not_write_are_missing_values(store: Path) -> None:
    for path in store.glob(f"*/device={PI.key}/*/*.parquet"):
        gone = {"runs": ["schema", "branch", "host"], "profiles": ["relative", "health", "samples"]}
        without_columns(path, *gone.get(path.parts[-4], []))
    assert rows(store, "SELECT branch FROM runs ORDER BY time") == [(None,), (None,), ("main",)]
    assert rows(store, "SELECT count(*), count(samples) FROM profiles") == [(4, 1)]
    assert len(asked(store)) == 3


def test_a_later_version_is_read_without_its_new_columns(store: Path) -> None:
    path = next(store.glob(f"runs/device={OTHER.key}/*/*.parquet"))
    table = pq.ParquetFile(path).read()
    place = table.schema.get_field_index("schema")
    later = table.set_column(place, "schema", [[99]]).append_column("energy_j", [[1.5]])
    pq.write_table(later, path)
    assert ask(StoreFolder(str(store)), StorePart(), lambda db: db.newer)
    assert not ask(StoreFolder(str(store)), StorePart(("pi-4",)), lambda db: db.newer)
    assert rows(store, "SELECT count(*) FROM runs") == [(3,)]


# --- only what a question needs -----------------------------------------------------------------


def test_columns_and_tables_that_a_question_does_not_name_are_not_read(store: Path) -> None:
    for path in store.glob("operators/*/*/*.parquet"):
        path.unlink()
    text = "EXPLAIN SELECT median(p50_ns) FROM profiles WHERE device = 'x'"
    plan = "\n".join(map(str, rows(store, text)[0]))
    assert "p50_ns" in plan
    assert "samples" not in plan
    assert len(asked(store)) == 3


def test_the_name_of_the_folder_may_have_any_characters(tmp_path: Path) -> None:
    store = tmp_path / "it's [a] *store* {b} ?"
    stored(store, [measured(10e6)])
    assert sql(store, "SELECT p50_ns FROM profiles") == [(10e6,)]
