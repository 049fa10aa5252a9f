"""``hiddencost report``: a run file as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_hiddencost.cli.run_arguments import (
    STANDARD,
    output_path,
    read_run,
    refuse_run_file,
    run_argument,
    write_output,
)
from pytest_hiddencost.core.errors import FormatError

if TYPE_CHECKING:
    from pytest_hiddencost.report.html.study_figures import StudyFigures
    from pytest_hiddencost.report.run_file import RunFile


@click.command("report")
@run_argument()
@click.argument("base", metavar="[BASE.json]", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    default="report.html",
    type=click.Path(),
    callback=output_path,
    help="File to write, or - for standard output (default: report.html).",
)
def report_command(run: Path, base: Path | None, output: str) -> None:
    """Write a run file as one HTML page.

    The page needs no network. With BASE.json, it shows what changed from BASE to RUN, by operator
    and by module. It compares two devices if the files are studies of two.

    It needs pip install 'pytest-hiddencost[report]'.

    \b
    Example:
      hiddencost report run.json main.json -o report.html
    """
    from pytest_hiddencost.report.html import require_report

    require_report("hiddencost report")
    refuse_run_file(output, run, base)
    head = read_run(run)
    other = None if base is None else read_run(base)
    write_output(output, _page(run, head, other, "" if base is None else base.name))
    if output != STANDARD:
        click.echo(f"report: {output}")


def _page(run: Path, head: RunFile, base: RunFile | None, base_name: str) -> bytes:
    from pytest_hiddencost.report.html.page import report_page

    try:
        page = report_page(head, base, base_name=base_name, study=_study(head, base))
    except (ArithmeticError, ValueError) as error:  # infinite times
        raise FormatError(f"{run}: its figures cannot be shown: {error}") from error
    return page.encode("utf-8", "backslashreplace")


def _study(head: RunFile, base: RunFile | None) -> StudyFigures | None:
    from pytest_hiddencost.study.figures import figures_of

    return figures_of(head, base)
