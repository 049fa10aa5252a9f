"""``hiddencost compare``: two run files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_hiddencost.cli.echo_writer import EchoWriter, color_option, echo_writer
from pytest_hiddencost.cli.run_arguments import read_run, run_argument

if TYPE_CHECKING:
    from pytest_hiddencost.report.run_file import RunFile

DIFFERENT = 1


@click.command("compare")
@run_argument("a", "A.json")
@run_argument("b", "B.json")
@click.option("-v", "--verbose", count=True, help="Every operator of each call.")
@color_option
@click.pass_context
def compare_command(ctx: click.Context, a: Path, b: Path, verbose: int, color: str) -> None:
    """Compare two run files, of one device or of two.

    Calls, MACs and bytes are compared exactly: the exit code is 1 if they differ, or if a call is
    in one file only. Times are shown side by side, without a verdict, since the two runs were not
    measured in turns.

    If A and B are studies of two devices, the papers' tables are printed instead.

    \b
    Example:
      hiddencost compare main.json branch.json
    """
    from pytest_hiddencost.report.run_comparison import compared_runs, write_comparison

    runs = read_run(a), read_run(b)
    writer = echo_writer(color)
    if _wrote_device_tables(writer, *runs):
        return
    found = compared_runs(*runs)
    write_comparison(writer, found, verbose)
    if not found.equal:
        ctx.exit(DIFFERENT)


def _wrote_device_tables(writer: EchoWriter, a: RunFile, b: RunFile) -> bool:
    """Write the papers' tables, if A and B are studies of two devices; return whether they are."""
    if a.device.key == b.device.key:
        return False
    from pytest_hiddencost.report.wording import device_line
    from pytest_hiddencost.study.compare import device_tables

    tables = device_tables(a, b)
    if not tables:
        return False
    for name, run in (("A", a), ("B", b)):
        writer.write_line(f"{name}: {device_line(run.device)}")
    writer.write_line("")
    for line in tables:
        writer.write_line(line)
    return True
