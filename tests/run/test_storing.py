"""``--hiddencost-store``: each run is added, once, and an error fails the run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.core import extras
from pytest_hiddencost.core.errors import StoreError
from pytest_hiddencost.history.small_files import ENOUGH_FILES
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import generation_of
from pytest_hiddencost.history.store_rows import RunFacts
from pytest_hiddencost.history.store_writer import add_run
from pytest_hiddencost.run.modes.base import Judgement
from pytest_hiddencost.run.results import Results, attach
from pytest_hiddencost.run.settings import Settings, StoreSettings
from pytest_hiddencost.run.storing import add_to_store
from tests.history.stored_runs import measured, rows
from tests.profiles import DEVICE
from tests.run.test_results import Collection, report
from tests.suites import GIVEN, JSON, run, run_file, run_here, stand_in, write_suite

pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")
TWO = """
def test_it(hiddencost): hiddencost(given(network()), X)

def test_labelled(hiddencost): hiddencost(given(network(label="größer")), X, label="größer")
"""


@pytest.fixture(autouse=True)
def _given(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


def one(pytester: pytest.Pytester, sql: str) -> tuple[Any, ...]:
    [row] = rows(pytester.path / "store", sql)
    return row


def test_a_run_adds_itself_and_the_summary_names_it(pytester: pytest.Pytester) -> None:
    result = run(pytester, [GIVEN, TWO], "--hiddencost-store=store", JSON)
    result.assert_outcomes(passed=2)
    run_id, profiles, host, device = one(
        pytester, "SELECT run_id, profiles, host, device FROM runs"
    )
    result.stdout.fnmatch_lines([f"stored: run {run_id}"])
    assert (profiles, host) == (2, None)
    assert device == run_file(pytester.path)["device"]["key"]
    assert one(pytester, "SELECT count(*), count(DISTINCT label) FROM profiles") == (2, 2)
    run_here(pytester, "--hiddencost-store=store", "--hiddencost-store-host")
    assert one(pytester, "SELECT count(*), count(host) FROM runs") == (2, 1)


def test_the_ini_file_names_a_folder_beside_itself_or_a_url(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nhiddencost_store = kept/runs\n")
    (pytester.path / "sub").mkdir()
    run(pytester, [GIVEN, TWO]).assert_outcomes(passed=2)
    assert rows(pytester.path / "kept" / "runs", "SELECT profiles FROM runs") == [(2,)]
    run_here(pytester, "--hiddencost-store=memory://run/store").assert_outcomes(passed=2)
    assert rows("memory://run/store", "SELECT profiles FROM runs") == [(2,)]


def test_a_run_without_measurements_adds_nothing(pytester: pytest.Pytester) -> None:
    result = run(pytester, "def test_it(): pass", "--hiddencost-store=store")
    result.assert_outcomes(passed=1)
    assert not (pytester.path / "store").exists()
    write_suite(pytester, [GIVEN, TWO])
    run_here(pytester, "--hiddencost-store=store", "--collect-only")
    assert not (pytester.path / "store").exists()


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (
            "test_it.py",
            "*--hiddencost-store: *test_it.py: cannot be written: *; name another store",
        ),
        ("nowhere://x", "*--hiddencost-store: nowhere://x: cannot be opened: *nowhere*"),
    ],
)
def test_a_store_that_cannot_be_written_is_told_before_any_test(
    pytester: pytest.Pytester, store: str, message: str
) -> None:
    result = run(pytester, [GIVEN, TWO], f"--hiddencost-store={store}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_missing_extra_is_told_before_any_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    result = run(pytester, [GIVEN, TWO], "--hiddencost-store=store")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pip install 'pytest-hiddencost?history?'"])


def test_a_store_that_fills_up_fails_the_run_in_one_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_hiddencost.history.store_folder._write_through", full)
    result = run(pytester, [GIVEN, TWO], "--hiddencost-store=store", JSON)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = result.stdout.str()
    lines = [line for line in text.splitlines() if line.startswith("hiddencost: the run was not")]
    assert len(lines) == 1
    assert lines[0].endswith("No space left on device (--hiddencost-store)")
    assert len(json.loads(Path("run.json").read_text())["profiles"]) == 2


def test_runs_merge_their_small_files(pytester: pytest.Pytester) -> None:
    run(pytester, [GIVEN, TWO], "--hiddencost-store=store")
    folder = StoreFolder(str(pytester.path / "store"))
    device = replace(DEVICE, key=one(pytester, "SELECT device FROM runs")[0])
    for _ in range(ENOUGH_FILES - 2):
        add_run(folder, RunFacts(datetime.now(timezone.utc)), device, [measured()])
    assert [generation_of(file.part) for file in folder.files("runs")] == [0, 0, 0]
    run_here(pytester, "--hiddencost-store=store").assert_outcomes(passed=2)
    assert generation_of(folder.files("runs")[-1].part) == 1
    assert one(pytester, "SELECT count(*), sum(profiles) FROM runs") == (4, 6)


def test_a_run_whose_small_files_cannot_be_merged_is_stored_with_a_warning(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreError("store: cannot be written: Permission denied")

    monkeypatch.setattr("pytest_hiddencost.history.small_files.merge_small_files", refused)
    result = run(pytester, [GIVEN, TWO], "--hiddencost-store=store")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "stored: run *",
            "hiddencost: the run was stored, but small files were not merged:*",
        ]
    )
    assert one(pytester, "SELECT profiles FROM runs") == (2,)


def test_devices_of_one_kind_are_stored_each_under_its_own_key(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    results = Results(pytester.parseconfig(), Collection())
    other = replace(DEVICE, key="cpu-other-board-2c2t-aarch64-torch2.4", cores=2)
    for test, device in (("t.py::test_a", DEVICE), ("t.py::test_b", other)):
        made = report("teardown", test=test)
        attach(made, device, [Judgement(measured(test=test))])
        results.take(made)
    store = StoreSettings(str(tmp_path / "store"), "--hiddencost-store")
    told, warning = add_to_store(Settings(store=store), results, tmp_path)
    assert (told[:13], warning) == ("stored: runs ", "")
    assert rows(store.url, "SELECT device, test FROM profiles ORDER BY test") == [
        (DEVICE.key, "t.py::test_a"),
        (other.key, "t.py::test_b"),
    ]
    assert rows(store.url, "SELECT device, cores FROM runs ORDER BY cores DESC") == [
        (DEVICE.key, DEVICE.cores),
        (other.key, 2),
    ]
