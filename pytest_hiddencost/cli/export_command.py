"""``hiddencost export``: a run file in the format of another program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_hiddencost.cli.run_arguments import (
    output_option,
    read_run,
    refuse_run_file,
    refuse_terminal,
    run_argument,
    write_output,
)
from pytest_hiddencost.core.errors import FormatError

if TYPE_CHECKING:
    from pytest_hiddencost.report.run_file import RunFile

TABLES = ("calls", "operators", "samples")


def _bencher(run: RunFile, table: str) -> bytes:
    from pytest_hiddencost.report.exports.bencher import bencher_json

    return bencher_json(run).encode()


def _github_benchmark(run: RunFile, table: str) -> bytes:
    from pytest_hiddencost.report.exports.github_benchmark import github_benchmark_json

    return github_benchmark_json(run).encode()


def _csv(run: RunFile, table: str) -> bytes:
    from pytest_hiddencost.report.exports.comma_separated import csv_text

    return csv_text(run, table).encode()


def _parquet(run: RunFile, table: str) -> bytes:
    from pytest_hiddencost.report.exports.parquet import parquet_bytes

    return parquet_bytes(run, table)


def _openmetrics(run: RunFile, table: str) -> bytes:
    from pytest_hiddencost.report.exports.openmetrics import openmetrics_text

    return openmetrics_text(run).encode()


EXPORTS: dict[str, Callable[[RunFile, str], bytes]] = {
    "bencher": _bencher,
    "github-action-benchmark": _github_benchmark,
    "csv": _csv,
    "parquet": _parquet,
    "openmetrics": _openmetrics,
}
WITH_TABLES = ("csv", "parquet")


@click.command("export")
@run_argument()
@click.option("--format", "name", required=True, type=click.Choice(list(EXPORTS)))
@click.option(
    "--table",
    type=click.Choice(TABLES),
    help="Table of csv and parquet: a row for each call, operator or timed call (default: calls).",
)
@output_option("File to write (default: standard output).")
def export_command(run: Path, name: str, table: str | None, output: str) -> None:
    """Write a run file in the format of another program.

    bencher is Bencher Metric Format; github-action-benchmark is its customSmallerIsBetter. parquet
    needs pip install 'pytest-hiddencost[parquet]'.

    \b
    Example:
      hiddencost export run.json --format csv --table operators -o operators.csv
    """
    if table is not None and name not in WITH_TABLES:
        raise click.UsageError(f"--table is for {' and '.join(WITH_TABLES)}, not for {name}")
    if name == "parquet":
        refuse_terminal(output)
    refuse_run_file(output, run)
    found = read_run(run)
    try:
        data = EXPORTS[name](found, table or TABLES[0])
    except (ValueError, OverflowError) as error:  # NaN, or a number of more than 64 bits
        raise FormatError(f"{run}: cannot be written as {name}: {error}") from error
    write_output(output, data)
    if not found.profiles:
        click.echo(f"{run}: the run measured no call", err=True)
