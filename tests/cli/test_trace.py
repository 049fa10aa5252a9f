"""``hiddencost trace``: files for Speedscope and for Chrome's viewers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import error_of, hiddencost, written
from tests.profiles import network
from tests.report.exports.runs import sited


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written(tmp_path / "run.json", sited(), network(label="b1"), network(label="b8"))


def names(text: str) -> list[str]:
    document: dict[str, Any] = json.loads(text)
    return [profile["name"].partition(" (")[0] for profile in document["profiles"]]


def test_speedscope_is_the_default(run: Path) -> None:
    result = hiddencost("trace", run)
    assert result.exit_code == 0
    assert names(result.stdout) == [
        "test_a.py::test_sited",
        "test_models.py::test_it b1",
        "test_models.py::test_it b8",
    ]
    assert result.stderr == ""


def test_a_part_of_the_name_selects_calls(run: Path) -> None:
    assert names(hiddencost("trace", run, "--test", "b1").stdout) == ["test_models.py::test_it b1"]
    assert len(names(hiddencost("trace", run, "--test", "test_it").stdout)) == 2


def test_a_name_that_no_call_has_is_an_error_with_those_there_are(run: Path) -> None:
    assert error_of("trace", run, "--test", "b3") == (
        f"{run}: no call has 'b3' in its name; --test takes a part of one of: "
        "test_a.py::test_sited, test_models.py::test_it b1, test_models.py::test_it b8"
    )


def test_many_names_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "run.json", *(network(label=f"b{i}") for i in range(9)))
    assert error_of("trace", path, "--test=x").endswith("test_it b4 and 4 more")


@pytest.mark.parametrize(
    ("name", "file"),
    [("speedscope", "run.aggregate.speedscope.json"), ("chrome", "run.aggregate.trace.json")],
)
def test_in_a_folder_the_name_says_that_it_adds_up(
    name: str, file: str, run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "traces"
    result = hiddencost("trace", run, "--format", name, "-o", f"{folder}/")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"wrote {folder / file}\n"
    assert json.loads((folder / file).read_text(encoding="utf-8"))
    hiddencost("trace", run, "--format", name, "-o", folder)
    assert [path.name for path in folder.iterdir()] == [file]


def test_a_file_is_written_under_its_name(run: Path, tmp_path: Path) -> None:
    result = hiddencost("trace", run, "-o", tmp_path / "it.json")
    assert result.exit_code == 0
    assert names((tmp_path / "it.json").read_text(encoding="utf-8"))


def test_the_run_file_is_not_overwritten(run: Path) -> None:
    before = run.read_bytes()
    assert error_of("trace", run, "-o", run) == (
        f"-o {run}: is a run file, and would be lost; name another path"
    )
    assert run.read_bytes() == before


def test_a_run_without_calls_has_no_trace(tmp_path: Path) -> None:
    path = written(tmp_path / "run.json")
    assert (
        error_of("trace", path) == f"{path}: the run measured no call, so there is nothing to show"
    )
