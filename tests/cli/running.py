"""The command in this process, on run files of made-up profiles."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from pytest_hiddencost.cli.main import command_line
from pytest_hiddencost.core.records import Device, Profile
from pytest_hiddencost.report import run_file
from tests.profiles import DEVICE


def hiddencost(*arguments: str | Path, columns: int = 120, **environment: str) -> Result:
    """Run the command with these arguments; never a traceback."""
    given = {"COLUMNS": str(columns), **environment}
    result = CliRunner().invoke(command_line, [str(argument) for argument in arguments], env=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def written(path: Path, *profiles: Profile, device: Device = DEVICE) -> Path:
    """The run file of these calls."""
    run_file.save(path, profiles, device, path.parent)
    return path


def error_of(*arguments: str | Path) -> str:
    """The one line of a command that cannot do what was asked."""
    result = hiddencost(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").rstrip("\n")
