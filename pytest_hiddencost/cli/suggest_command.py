"""``hiddencost suggest``: markers that would hold today, printed or written into test files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_hiddencost.cli.echo_writer import EchoWriter, color_option, echo_writer
from pytest_hiddencost.cli.main import CANNOT
from pytest_hiddencost.cli.run_arguments import read_run
from pytest_hiddencost.core.errors import SettingError, SuggestionError
from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.terminal import write_wrapped

if TYPE_CHECKING:
    from pytest_hiddencost.core.records import Profile
    from pytest_hiddencost.suggest.by_function import FunctionSuggestion
    from pytest_hiddencost.suggest.suite_files import FileChange, Plan

NOT_WRITTEN = 1
"""Exit code: the changes were shown, and not written, since nobody agreed to them."""
DIFF_COLORS = {"+": "green", "-": "red", "@": "cyan"}  # of a line of a diff, by its first character


@click.command("suggest")
@click.argument(
    "runs", metavar="RUN.json...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "--test",
    "tests",
    multiple=True,
    metavar="ID",
    help="Only this test, class, file or folder, as pytest names it; may be repeated.",
)
@click.option("--write", is_flag=True, help="Put markers into test files; shows a diff first.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    show_default="the current folder",
    metavar="DIR",
    help="pytest's rootdir, to which test ids are relative.",
)
@color_option
def suggest_command(
    runs: tuple[Path, ...], tests: tuple[str, ...], write: bool, yes: bool, root: Path, color: str
) -> None:
    """Suggest limits, and write markers into test files.

    For every measured call it prints a latency_budget marker that would hold today, with headroom
    from the measured spread. It ranks hidden costs by the time that they surely take, and limits
    those that are worth it. With several run files, the limits hold in each of them.

    \b
    Example:
      hiddencost suggest run.json --write

    \b
    Exit codes:
      0  done, or nothing to write
      1  --write showed changes, and nobody agreed to them
      2  wrong usage, or a file that cannot be read or written
    """
    from pytest_hiddencost.suggest.suggestion_text import Sentence, suggestion_lines

    if yes and not write:
        raise click.UsageError("--yes says nothing without --write")
    writer = echo_writer(color)
    found = _chosen(_suggestions(runs), tests, runs)
    for number, function in enumerate(found):
        if number:
            writer.write_line("")
        head, *lines = suggestion_lines(function)
        writer.write_line(head, bold=True)
        for line in lines:
            if isinstance(line, Sentence):
                write_wrapped(writer, line)
            else:
                writer.write_line(line)
    if write:
        writer.write_line("")
        sys.exit(_write(writer, root, found, agreed=yes))


def _suggestions(runs: Sequence[Path]) -> list[FunctionSuggestion]:
    from pytest_hiddencost.suggest.by_function import suggestions

    different = list({path.resolve(): path for path in runs}.values())
    return suggestions(_profiles(different), len(different))


def _profiles(runs: Sequence[Path]) -> list[Profile]:
    """Return the profiles of all runs, which must be those of one device."""
    found = [read_run(path) for path in runs]
    for path, run in zip(runs, found, strict=True):
        if run.device.key != found[0].device.key:
            raise SettingError(
                f"{path}: measured on {run.device.key}, and {runs[0]} on {found[0].device.key}; "
                "give the runs of one device"
            )
    return [profile for run in found for profile in run.profiles]


def _chosen(
    found: Sequence[FunctionSuggestion], tests: Sequence[str], runs: Sequence[Path]
) -> list[FunctionSuggestion]:
    """Return the functions of the wanted tests; all of them if none is named."""
    run = ", ".join(map(str, runs))
    if not found:
        raise SettingError(f"{run}: the run measured no call; run tests that use hiddencost")
    missing = [test for test in tests if not any(_is_in(f, test) for f in found)]
    if missing:
        others = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise SettingError(
            f"--test={missing[0]}: {run} has no such test; it has {found[0].id}{others}"
        )
    return [f for f in found if not tests or any(_is_in(f, test) for test in tests)]


def _is_in(function: FunctionSuggestion, test: str) -> bool:
    """Return whether a function has this id, or lies in the class, file or folder of this id."""
    if "[" in test.partition("::")[2]:
        return any(call.profile.test == test for call in function.calls)
    wanted = test.rstrip("/")
    return function.id == wanted or function.id.startswith((f"{wanted}::", f"{wanted}/"))


def _write(
    writer: EchoWriter, root: Path, found: Sequence[FunctionSuggestion], *, agreed: bool
) -> int:
    """Show the changes of the test files, and write them if the user agrees; the exit code."""
    extra("libcst", "suggest", "--write")
    from pytest_hiddencost.suggest.suite_files import plan_changes

    plan = plan_changes(root, found)
    _show(writer, plan)
    if not plan.changes:
        writer.write_line("Nothing to write.")
        return 0
    functions = _count(sum(len(change.functions) for change in plan.changes), "test function")
    what = f"markers of {functions} into {_count(len(plan.changes), 'file')}"
    if not agreed and not someone_can_answer():
        writer.write_line(f"Not written: {what}; --yes writes them without asking.")
        return NOT_WRITTEN
    if not agreed and not click.confirm(f"Write {what}?"):
        return NOT_WRITTEN
    written = [_is_written(writer, change) for change in plan.changes]
    return 0 if all(written) else CANNOT


def _show(writer: EchoWriter, plan: Plan) -> None:
    for line in plan.left_alone:
        write_wrapped(writer, f"Left alone: {printable(line)}")
    for change in plan.changes:
        for line in change.diff().split("\n"):
            color = DIFF_COLORS.get(line[:1])
            writer.write_code(line, **({color: True} if color else {}))


def _is_written(writer: EchoWriter, change: FileChange) -> bool:
    try:
        change.write()
    except SuggestionError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        return False
    writer.write_line(f"Written: {change.name}")
    return True


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def someone_can_answer() -> bool:
    """Return whether standard input is a terminal."""
    return sys.stdin.isatty()
