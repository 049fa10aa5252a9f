"""Arguments that several commands have: run files, and where to write."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pytest_hiddencost.core.errors import FormatError, SettingError
from pytest_hiddencost.report.run_file import RunFile, check_writable, read
from pytest_hiddencost.system.replacing import replacing, resolved

F = TypeVar("F", bound=Callable[..., Any])
STANDARD = "-"
"""Stands for standard input and output in place of a path."""
_STANDARD_OUTPUTS = (STANDARD, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def run_argument(name: str = "run", metavar: str = "RUN.json") -> Callable[[F], F]:
    """Return the decorator of a command that takes a run file, or ``-`` for its input."""
    return click.argument(name, metavar=metavar, type=click.Path(path_type=Path))


def output_option(help: str) -> Callable[[F], F]:
    """Return the decorator of a command that writes; without ``-o`` it writes to its output."""
    return click.option(
        "-o",
        "--output",
        metavar="PATH",
        default=STANDARD,
        type=click.Path(),
        callback=output_path,
        help=help,
    )


def output_path(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Return the path that ``-o`` names, and ``-`` for each name of standard output."""
    return STANDARD if value in _STANDARD_OUTPUTS else value


def read_run(path: Path) -> RunFile:
    """Return a run file whose times can be divided by. Raises ``FormatError``."""
    run = read(Path("/dev/stdin") if str(path) == STANDARD else path)
    for profile in run.profiles:
        if not 0 < profile.latency.median_ns < float("inf"):
            raise FormatError(
                f"{path}: latency.median_ns of {profile.test}: {profile.latency.median_ns:g} ns "
                "is not a possible time"
            )
    return run


def refuse_run_file(output: str, *runs: Path | None) -> None:
    """Refuse to write over a run file that the command reads. Raises ``SettingError``."""
    if output == STANDARD:
        return
    read = [resolved(run) for run in runs if run is not None and str(run) != STANDARD]
    if resolved(Path(output)) in read:
        raise SettingError(f"-o {output}: is a run file, and would be lost; name another path")


def write_output(output: str, data: bytes) -> None:
    """Write to a file in one step, or to standard output. Raises ``SettingError``, ``OSError``."""
    if output == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/null, a pipe
        path.write_bytes(data)
        return
    check_writable(path, "-o")
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise SettingError(f"-o {path}: cannot be written: {error.strerror or error}") from error


def is_terminal() -> bool:
    """Return whether a person sees standard output."""
    return sys.stdout.isatty()


def refuse_terminal(output: str) -> None:
    """Refuse to write binary data to a terminal. Raises ``SettingError``."""
    if output == STANDARD and is_terminal():
        raise SettingError("the format is binary, and standard output is a terminal; give -o PATH")
