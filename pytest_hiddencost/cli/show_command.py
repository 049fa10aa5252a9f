"""``hiddencost show``: the terminal summary of a run file."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_hiddencost.cli.echo_writer import color_option, echo_writer
from pytest_hiddencost.cli.run_arguments import read_run, run_argument


@click.command("show")
@run_argument()
@click.option(
    "-v", "--verbose", count=True, help="Groups and MAC kinds of each call; -vv: every operator."
)
@click.option("-q", "--quiet", is_flag=True, help="Only a count of what is undecided.")
@color_option
def show_command(run: Path, verbose: int, quiet: bool, color: str) -> None:
    """Print the terminal summary of a run file again.

    It is the summary that pytest printed when the run ended, with more detail if asked for.

    \b
    Example:
      hiddencost show run.json -vv
    """
    from pytest_hiddencost.report.terminal import write_count, write_summary, write_wrapped

    found = read_run(run)
    writer = echo_writer(color)
    if quiet:
        write_count(writer, found.profiles, 0)
    elif found.profiles:
        write_summary(writer, found.profiles, found.device, verbose)
    else:
        write_wrapped(writer, "the run measured no call")
