"""``hiddencost study``: pytest with its options, or the tables of run files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_hiddencost.cli import study_command
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report import run_file
from tests.cli.running import error_of, hiddencost, written
from tests.profiles import network
from tests.study.study_results import LATENCIES_MS, several


class Replaced(BaseException):
    """Raised where this process would be another program."""


ENERGY = ["--hiddencost-energy", "--hiddencost-kinds"]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], []),
        (["--hiddencost-json=run.json", "-k", "MobileNet"],) * 2,
        (["-q", "-x"],) * 2,
        (["--energy", "-x"], [*ENERGY, "-x"]),
    ],
)
def test_pytest_gets_every_option(
    arguments: list[str], options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def execv(program: str, given: list[str]) -> None:
        assert program == sys.executable
        started.append(given)
        raise Replaced

    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(Replaced):
        hiddencost("study", *arguments)
    study = ["-m", "pytest", "--pyargs", "pytest_hiddencost.study"]
    assert started == [[sys.executable, *study, *options]]


@pytest.fixture
def profiles() -> list[Profile]:
    return [found.profile for found in several(LATENCIES_MS)]


def test_a_run_file_gives_its_tables_again(profiles: list[Profile], tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", *profiles)
    result = hiddencost("study", path)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{path}: cpu: Some Board, ")
    for title in ("Models, default", "Inside Conv2D, default", "Pearson correlation over 5 models"):
        assert title in result.stdout
    twice = hiddencost("study", path, path).stdout
    assert twice.count("Models, default") == 2


def test_a_dash_is_the_run_file_of_standard_input(
    profiles: list[Profile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.json", *profiles)
    given: list[str] = []

    def read_run(run: Path) -> run_file.RunFile:
        given.append(str(run))
        return run_file.read(path)

    monkeypatch.setattr(os, "execv", None)  # no pytest takes this process's place
    monkeypatch.setattr(study_command, "read_run", read_run)
    result = hiddencost("study", "-")
    assert result.exit_code == 0
    assert given == ["-"]
    assert "Models, default" in result.stdout


def test_a_run_file_without_the_study_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "run.json", network())
    assert error_of("study", path) == (
        f"{path}: holds no profile of the device study; record one with hiddencost study "
        "--hiddencost-json=FILE"
    )
