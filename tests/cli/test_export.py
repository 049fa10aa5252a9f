"""``hiddencost export``: every format, to a file and to standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_hiddencost.cli.export_command import EXPORTS, TABLES
from pytest_hiddencost.report.exports.export_tables import EXPORT_TABLES
from tests.cli.running import error_of, hiddencost, written
from tests.profiles import network
from tests.report.exports.runs import hostile

by_format = pytest.mark.parametrize("name", EXPORTS)
STARTS = {
    "bencher": b"{",
    "github-action-benchmark": b"[",
    "csv": b"created,commit,",
    "parquet": b"PAR1",
    "openmetrics": b"# TYPE hiddencost_device info\n",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written(tmp_path / "run.json", *hostile().profiles)


@by_format
def test_a_file_and_standard_output_get_the_same(name: str, run: Path, tmp_path: Path) -> None:
    printed = hiddencost("export", run, "--format", name)
    assert printed.exit_code == 0
    result = hiddencost("export", run, "--format", name, "-o", tmp_path / "out")
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / "out").read_bytes() == printed.stdout_bytes
    assert printed.stdout_bytes.startswith(STARTS[name])
    assert hiddencost("export", run, "--format", name, "-o", "-").stdout_bytes.startswith(
        STARTS[name]
    )


@by_format
def test_the_run_file_is_not_overwritten(name: str, run: Path, tmp_path: Path) -> None:
    before, link = run.read_bytes(), tmp_path / "link.json"
    link.symlink_to(run)
    for output in (run, link):
        assert error_of("export", run, "--format", name, "-o", output) == (
            f"-o {output}: is a run file, and would be lost; name another path"
        )
    assert run.read_bytes() == before


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1"])
def test_a_name_of_standard_output_is_standard_output(output: str, run: Path) -> None:
    printed = hiddencost("export", run, "--format=csv")
    assert hiddencost("export", run, "--format=csv", "-o", output).stdout == printed.stdout


def test_a_link_stays_a_link(run: Path, tmp_path: Path) -> None:
    link = tmp_path / "out.csv"
    link.symlink_to("today.csv")
    assert hiddencost("export", run, "--format=csv", "-o", link).exit_code == 0
    assert link.readlink() == Path("today.csv")
    assert (tmp_path / "today.csv").read_bytes().startswith(STARTS["csv"])


@by_format
def test_an_empty_run_gives_a_valid_file_and_a_remark(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "empty.json")
    result = hiddencost("export", path, "--format", name)
    assert result.exit_code == 0
    assert result.stdout_bytes.startswith(STARTS[name][:1])
    assert result.stderr == f"{path}: the run measured no call\n"


def test_tables(run: Path) -> None:
    assert tuple(EXPORT_TABLES) == TABLES
    heads = {
        table: hiddencost("export", run, "--format=csv", f"--table={table}").stdout.split("\n")[0]
        for table in TABLES
    }
    assert len(set(heads.values())) == 3
    assert "operator" in heads["operators"].split(",")


def test_a_table_of_a_format_without_tables_is_wrong_usage(run: Path) -> None:
    result = hiddencost("export", run, "--format=bencher", "--table=calls")
    assert result.exit_code == 2
    assert "--table is for csv and parquet, not for bencher" in result.stderr


def test_a_format_is_needed_and_known(run: Path) -> None:
    for arguments in ((), ("--format=excel",)):
        result = hiddencost("export", run, *arguments)
        assert result.exit_code == 2
        assert "github-action-benchmark" in result.stderr


def test_a_missing_extra_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert error_of("export", run, "--format=parquet") == (
        "--format parquet: pyarrow is not installed; run pip install 'pytest-hiddencost[parquet]'"
    )


def test_binary_data_is_kept_from_a_terminal(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_hiddencost.cli.run_arguments.is_terminal", lambda: True)
    assert "give -o PATH" in error_of("export", run, "--format=parquet")


@pytest.mark.parametrize("number", ["NaN", "1" + "0" * 30])
def test_a_number_that_a_format_has_not_is_one_line(number: str, run: Path) -> None:
    text = run.read_text(encoding="utf-8").replace('"macs": 30000000', f'"macs": {number}')
    run.write_text(text, encoding="utf-8")
    assert str(run) in error_of("export", run, "--format=parquet")


def test_a_device_file_is_written_as_it_is(run: Path) -> None:
    result = hiddencost("export", run, "--format=bencher", "-o", "/dev/null")
    assert (result.exit_code, result.output) == (0, "")
    assert not Path("/dev/null").is_file()


def test_the_old_file_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text("old", encoding="utf-8")
    path = written(tmp_path / "run.json", network())
    assert hiddencost("export", path, "--format=bencher", "-o", out).exit_code == 0
    assert list(json.loads(out.read_text(encoding="utf-8"))) == ["test_models.py::test_it"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.json", "run.json"]
