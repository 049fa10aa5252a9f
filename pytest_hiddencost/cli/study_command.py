"""``hiddencost study``: the device study, and its tables from run files."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pytest_hiddencost.cli.run_arguments import STANDARD, read_run

STUDY = ("-m", "pytest", "--pyargs", "pytest_hiddencost.study")
_ENERGY = ("--hiddencost-energy", "--hiddencost-kinds")  # the energy of calls, and by kind


@click.command("study", context_settings={"ignore_unknown_options": True})
@click.argument(
    "arguments", metavar="[RUN.json]... | [PYTEST OPTION]...", nargs=-1, type=click.UNPROCESSED
)
def study_command(arguments: tuple[str, ...]) -> None:
    """Run the device study, or print its tables again.

    Without a run file, the study profiles ten reference models on this device: pytest runs it, and
    gets every option given here. With run files, only their tables are printed. --energy measures
    the energy of each model and of a MAC of each kind, and replays each operator alone.

    \b
    Examples:
      hiddencost study --hiddencost-json=board.json -k MobileNet
      hiddencost study --energy --hiddencost-threads=1
      hiddencost study board.json
    """
    if not arguments or any(a.startswith("-") and a != STANDARD for a in arguments):
        _run([option for given in arguments for option in _options(given)])
    for argument in arguments:
        _print_tables(Path(argument))


def _options(given: str) -> tuple[str, ...]:
    """Return the options of pytest for one that is given here."""
    return _ENERGY if given == "--energy" else (given,)


def _run(arguments: Sequence[str]) -> None:
    """Let pytest take this process's place: signals and its exit code are its own."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *STUDY, *arguments])


def _print_tables(path: Path) -> None:
    from pytest_hiddencost.report.wording import device_line
    from pytest_hiddencost.study.results import study_results
    from pytest_hiddencost.study.tables import all_tables

    run = read_run(path)
    results = study_results(run.profiles, str(path))
    click.echo(f"{path}: {device_line(run.device)}")
    for lines in all_tables(results):
        click.echo("\n" + "\n".join(lines))
