"""The command as a program: it starts without heavy libraries, and ends as programs do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_hiddencost.report import run_file
from tests.profiles import DEVICE, network
from tests.suites import environment_of_runs

pytestmark = pytest.mark.end_to_end

HEAVY = {"torch", "scipy", "numpy", "thop", "pandas", "pyarrow", "pytest", "_pytest"}
LISTING = """
import json, sys
from pytest_hiddencost.cli.main import command_line
try:
    command_line(sys.argv[1:], prog_name="hiddencost")
except SystemExit as ended:
    print("\\nMODULES " + json.dumps(sorted(sys.modules)))
    raise
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    run_file.save(tmp_path / "run.json", [network()], DEVICE, tmp_path)
    return tmp_path / "run.json"


def started(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=environment_of_runs(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def modules(*arguments: str) -> set[str]:
    """The modules in memory when the command ends."""
    done = started("-c", LISTING, *arguments)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("MODULES ")]
    return set(json.loads(line.partition(" ")[2]))


def test_help_imports_no_subcommand_and_nothing_heavy() -> None:
    found = modules("--help")
    ours = {name for name in found if name.startswith("pytest_hiddencost")}
    assert ours == {
        "pytest_hiddencost",
        "pytest_hiddencost.cli",
        "pytest_hiddencost.cli.main",
        "pytest_hiddencost.core",
        "pytest_hiddencost.core.errors",
        "pytest_hiddencost.core.printable",
    }
    assert found.isdisjoint(HEAVY | {"tabulate"})


@pytest.mark.parametrize(
    ("arguments", "without"),
    [
        (["show", "RUN", "-vv"], HEAVY),
        (["export", "RUN", "--format=csv"], HEAVY | {"tabulate", "subprocess"}),
        (["trace", "RUN"], HEAVY | {"tabulate", "subprocess"}),
        (["compare", "RUN", "RUN"], HEAVY),
    ],
)
def test_no_command_imports_more_than_it_needs(
    arguments: list[str], without: set[str], path: Path
) -> None:
    given = [str(path) if argument == "RUN" else argument for argument in arguments]
    assert modules(*given).isdisjoint(without)


def test_it_is_a_module_too(path: Path) -> None:
    done = started("-m", "pytest_hiddencost", "show", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "test_models.py::test_it" in done.stdout


def test_a_run_file_may_come_through_a_pipe_and_go_through_one(path: Path) -> None:
    command = f"'{sys.executable}' -m pytest_hiddencost"
    done = subprocess.run(
        f"{command} export - --format=csv < '{path}' | head -1; "
        f"{command} show '{path}' -vv | head -0",
        shell=True,
        env=environment_of_runs(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.startswith("created,commit,")
    assert done.stderr == ""
