"""A run in the store: what its rows hold, what they do not, and when others see it."""

from __future__ import annotations

import re
import uuid
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.core.records import DeviceHealth
from pytest_hiddencost.history import store_folder
from pytest_hiddencost.history.parquet_files import parquet_of_rows
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import StoredFile, new_run_id, time_of_id
from pytest_hiddencost.history.store_rows import RunFacts, branch_of_ci, table_rows
from pytest_hiddencost.history.store_tables import SCHEMA_KEY, STORE_SCHEMA, STORE_TABLES
from tests.history.stored_runs import PI, START, measured, rows, stored
from tests.profiles import network

NAMES = "000000-00000000-0000-7000-8000-000000000000"


def files_of(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


def test_a_run_is_one_file_of_each_table_by_device_and_month(tmp_path: Path) -> None:
    run_id = stored(tmp_path, [measured()])
    found = [path.relative_to(tmp_path).as_posix() for path in files_of(tmp_path)]
    assert found == [
        f"{table}/device={PI.key}/month=2026-09/000000-{run_id}.parquet"
        for table in sorted(STORE_TABLES)
    ]


def test_every_file_names_the_version_of_its_columns(tmp_path: Path) -> None:
    stored(tmp_path, [measured()])
    for path in files_of(tmp_path):
        schema = pq.read_schema(path)
        assert schema.metadata[SCHEMA_KEY] == str(STORE_SCHEMA).encode()
        assert schema.names == [column.name for column in STORE_TABLES[path.parts[-4]]]


def test_a_profile_has_its_figures(tmp_path: Path) -> None:
    profile = measured(relative=2.5, label="batch 8")
    stored(tmp_path, [profile], branch="main", dirty=True)
    [row] = rows(
        tmp_path,
        "SELECT test, label, p50_ns, p95_ns, p99_ns, p50_low_ns, p50_high_ns, relative, mac_ns, "
        "non_mac_ns, macs, peak_bytes, verdict, fit, samples FROM profiles",
    )
    latency = profile.latency
    assert latency.median_ci_ns is not None
    assert row == (
        profile.test, "batch 8", latency.median_ns, latency.p95_ns, latency.p99_ns,
        *latency.median_ci_ns, 2.5, profile.mac_ns, latency.median_ns - profile.mac_ns,
        profile.macs, profile.activation_peak_bytes, "", True, list(latency.samples_ns),
    )  # fmt: skip
    [run] = rows(tmp_path, "SELECT branch, dirty, torch, model, profiles, time FROM runs")
    assert run == ("main", True, "2.13.0", PI.model, 1, START.replace(tzinfo=None))
    [cat] = rows(
        tmp_path,
        "SELECT \"group\", calls, self_ns, mac_share FROM operators WHERE name='aten::cat'",
    )
    assert cat == ("concatenation", 12, 1e6, 0.0)


def test_a_call_without_a_reference_time_has_no_relative_latency(tmp_path: Path) -> None:
    stored(tmp_path, [measured()])
    assert rows(tmp_path, "SELECT relative, reference_version FROM profiles") == [(None, None)]


def test_an_unfit_device_is_a_health_event_of_the_run(tmp_path: Path) -> None:
    unfit = DeviceHealth(False, ("the governor is powersave",))
    stored(tmp_path, [measured(), measured(label="b", health=unfit)])
    assert rows(tmp_path, "SELECT fit, health FROM runs") == [(False, "the governor is powersave")]
    assert rows(tmp_path, "SELECT label FROM profiles WHERE NOT fit") == [("b",)]


# --- nothing personal ---------------------------------------------------------------------------


def test_neither_user_nor_host_nor_folders_are_stored() -> None:
    test = "/home/alice/project/test_it.py::test_it[/data]"
    found = table_rows("id", RunFacts(START), PI, [network(test=test)], NAMES)
    assert found["profiles"][0]["test"] == "test_it.py::test_it[/data]"
    assert found["runs"][0]["host"] is None
    assert "alice" not in str(found)
    assert not {column.name for table in STORE_TABLES.values() for column in table} & {
        "user", "folder", "path", "directory", "home", "ip", "email", "author",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("test", "kept"),
    [
        ("tests/test_a.py::test_a", "tests/test_a.py::test_a"),
        (r"C:\Users\alice\test_a.py::test_a", "test_a.py::test_a"),
        ("../test_a.py::test_a", "../test_a.py::test_a"),
        ("no path at all", "no path at all"),
        (
            "hiddencost-model::/home/alice/net.pt2[1x3-eager]",
            "hiddencost-model::net.pt2[1x3-eager]",
        ),
        ("hiddencost-model::C:/Users/alice/net.pt[eager]", "hiddencost-model::net.pt[eager]"),
        (
            "hiddencost-model::hf:/home/alice/bert[int64:1x8-eager]",
            "hiddencost-model::hf:bert[int64:1x8-eager]",
        ),
        ("hiddencost-model::models/net.pt2[1x3-eager]",) * 2,
        ("hiddencost-model::hf:google/bert[1x3-eager]",) * 2,
        ("hiddencost-model::pkg.nets:Net[1x3-eager]",) * 2,
    ],
)
def test_paths_of_tests_and_of_named_models_are_relative(test: str, kept: str) -> None:
    found = table_rows("id", RunFacts(START), PI, [network(test=test)], NAMES)
    assert found["operators"][0]["test"] == kept


def test_the_host_is_stored_if_it_was_asked_for(tmp_path: Path) -> None:
    stored(tmp_path, [measured()], host="bench-7")
    assert rows(tmp_path, "SELECT host FROM runs") == [("bench-7",)]


def test_every_fact_of_a_run_has_a_column() -> None:
    names = {column.name for column in STORE_TABLES["runs"]}
    assert {field.name for field in fields(RunFacts)} <= names


# --- ids ----------------------------------------------------------------------------------------


def test_an_id_is_a_uuid_of_version_7_that_sorts_by_time() -> None:
    moments = [datetime(2026, 1, day, tzinfo=timezone.utc) for day in range(1, 29)]
    ids = [new_run_id(moment) for moment in moments]
    assert ids == sorted(ids)
    assert {(uuid.UUID(one).version, uuid.UUID(one).variant) for one in ids} == {(7, uuid.RFC_4122)}
    assert [time_of_id(one) for one in ids] == [moment.timestamp() for moment in moments]
    assert len({new_run_id(START) for _ in range(1000)}) == 1000


def test_the_branch_of_a_pull_request_goes_before_the_name_that_ci_made_for_it() -> None:
    found = {"GITHUB_REF_NAME": "12/merge", "GITHUB_HEAD_REF": "faster"}
    assert branch_of_ci(found) == "faster"
    assert branch_of_ci({"CI_COMMIT_REF_NAME": "main", "GITHUB_HEAD_REF": ""}) == "main"
    assert branch_of_ci({}) == ""


# --- all or nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_a_killed_writer_leaves_nothing_that_others_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    first = stored(tmp_path, [measured()])
    write, count = store_folder._write_through, 0

    def killed(path: Path, temporary: Path, data: bytes) -> None:
        nonlocal count
        if count == survived:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data[: len(data) // 2])
            raise KeyboardInterrupt
        count += 1
        write(path, temporary, data)

    monkeypatch.setattr(store_folder, "_write_through", killed)
    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, [measured()], day=1)
    assert rows(tmp_path, "SELECT run_id FROM runs") == [(first,)]
    assert rows(tmp_path, "SELECT DISTINCT run_id FROM profiles") == [(first,)]
    assert rows(tmp_path, "SELECT DISTINCT run_id FROM operators") == [(first,)]


def test_a_failed_write_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"cannot be written: .*No space left on device"):
        stored(tmp_path, [measured()])
    assert files_of(tmp_path) == []


def test_a_number_that_no_column_holds_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the run cannot be stored"):
        stored(tmp_path, [measured(macs=2**70)])
    assert files_of(tmp_path) == []


def test_a_password_in_a_url_is_not_in_messages() -> None:
    folder = StoreFolder("memory://alice:secret@host/store")
    assert folder.name == "memory://host/store"


def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(StoreError, match=r"nowhere://x: cannot be opened: .*nowhere"):
        StoreFolder("nowhere://x")


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        StoreFolder(str(tmp_path / "file" / "store")).check_writable()
    StoreFolder(str(tmp_path / "new" / "store")).check_writable()
    assert not (tmp_path / "new").exists()


def test_a_system_that_can_only_rename_gets_a_temporary_name_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_folder, "OBJECT_STORES", set())
    url = "memory://renaming"
    file = StoredFile("runs", "d", "2026-09", NAMES)
    StoreFolder(url).add(file, parquet_of_rows("runs", []))
    found = StoreFolder(url)
    assert found.files("runs") == [file]
    assert [path for path in found.filesystem.find(found.root) if not path.endswith("t")] == []


def test_files_that_are_no_part_of_the_store_are_left_alone(tmp_path: Path) -> None:
    stored(tmp_path, [measured()])
    folder = tmp_path / "runs" / f"device={PI.key}" / "month=2026-09"
    (folder / "notes.parquet").write_text("mine")
    (tmp_path / "runs" / "README.md").write_text("mine")
    assert len(rows(tmp_path, "SELECT * FROM runs")) == 1
    assert re.fullmatch(r"\d{6}-[0-9a-f-]{36}", NAMES)
