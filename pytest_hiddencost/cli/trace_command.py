"""``hiddencost trace``: where the time of each call goes, for viewers of profiles."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_hiddencost.cli.run_arguments import (
    STANDARD,
    output_option,
    read_run,
    refuse_run_file,
    run_argument,
    write_output,
)
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import call_name

if TYPE_CHECKING:
    from pytest_hiddencost.report.run_file import RunFile

_MOST_NAMED = 5


def _speedscope(run: RunFile) -> str:
    from pytest_hiddencost.report.exports.speedscope import speedscope_json

    return speedscope_json(run)


def _chrome(run: RunFile) -> str:
    from pytest_hiddencost.report.exports.chrome_trace import chrome_trace_json

    return chrome_trace_json(run)


TRACES: dict[str, tuple[str, Callable[[RunFile], str]]] = {
    "speedscope": ("speedscope.json", _speedscope),
    "chrome": ("trace.json", _chrome),
}
"""The formats: the end of the file's name, and the function that gives its text."""


@click.command("trace")
@run_argument()
@output_option("File to write, or a folder for it (default: standard output).")
@click.option("--format", "name", type=click.Choice(list(TRACES)), default="speedscope")
@click.option("--test", metavar="TEXT", help="Only calls whose test id or label contains this.")
def trace_command(run: Path, output: str, name: str, test: str | None) -> None:
    """Write where the time goes for Speedscope or Perfetto.

    The file shows modules, the operators that Python called, and the operators inside them, with
    corrected times. It adds up the calls of an operator from one line, and is no timeline: the
    largest part comes first.

    \b
    Example:
      hiddencost trace run.json -o traces/ --format chrome --test test_resnet
    """
    found = _selected(read_run(run), run, test)
    suffix, text = TRACES[name]
    try:
        data = text(found).encode()
    except ValueError as error:
        raise FormatError(f"{run}: cannot be written as {name}: {error}") from error
    file = _file_of(output, run, suffix)
    refuse_run_file(file, run)
    write_output(file, data)
    if file != STANDARD:
        click.echo(f"wrote {file}", err=True)


def _selected(run: RunFile, path: Path, text: str | None) -> RunFile:
    """Return the run with the calls whose name contains a text. Raises ``FormatError``."""
    if not run.profiles:
        raise FormatError(f"{path}: the run measured no call, so there is nothing to show")
    names = [call_name(profile.test, profile.label) for profile in run.profiles]
    chosen = [p for p, name in zip(run.profiles, names, strict=True) if (text or "") in name]
    if not chosen:
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        raise FormatError(
            f"{path}: no call has {text!r} in its name; --test takes a part of one of: "
            f"{', '.join(names[:_MOST_NAMED])}{more}"
        )
    return replace(run, profiles=tuple(chosen))


def _file_of(output: str, run: Path, suffix: str) -> str:
    """Return the file to write: in a folder it is named after the run, and says that it adds up."""
    if output.endswith(os.sep):
        Path(output).mkdir(parents=True, exist_ok=True)
    if output == STANDARD or not Path(output).is_dir():
        return output
    stem = "run" if str(run) == STANDARD else run.stem
    return str(Path(output, f"{stem}.aggregate.{suffix}"))
