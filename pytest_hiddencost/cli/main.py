"""The ``hiddencost`` command: subcommands by name, each imported when it is called."""

from __future__ import annotations

import errno
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from pytest_hiddencost import __version__
from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.printable import printable

COMMANDS: dict[str, tuple[str, str]] = {
    "show": ("show_command", "Print the terminal summary of a run file again."),
    "compare": ("compare_command", "Compare two run files, of one device or of two."),
    "export": ("export_command", "Write a run file in the format of another program."),
    "report": ("report_command", "Write a run file as one HTML page."),
    "suggest": ("suggest_command", "Suggest limits, and write markers into test files."),
    "trace": ("trace_command", "Write where the time goes for Speedscope or Perfetto."),
    "history": ("history_command", "Ask a store of runs: trends, change points, a gate."),
    "device": ("device_command", "Let this device run the tests of a fleet."),
    "fleet": ("fleet_command", "List the devices of a fleet, and what they run."),
    "kinds": ("kinds_command", "Measure the throughput of operator kinds on this device."),
    "study": ("study_command", "Run the device study, or print its tables again."),
}
"""Module and text of each subcommand; the module's function of the same name runs it.

The text stands here as well, so that ``--help`` and completion import no subcommand.
"""
CANNOT = 2
INTERRUPTED = 130


class _CannotError(click.ClickException):
    """The command cannot do what was asked; told in one line."""

    exit_code = CANNOT

    def __init__(self, error: Exception) -> None:
        super().__init__(printable(" ".join(str(error).split())))


class _Commands(click.Group):
    """Imports a subcommand on its first use; errors end the command in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = COMMANDS[cmd_name][0]
        found: click.Command = getattr(import_module(f"pytest_hiddencost.cli.{name}"), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except HiddenCostError as error:
            raise _CannotError(error) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader has enough; click ends quietly
                raise
            raise _CannotError(error) from error
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.command(
    "hiddencost", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="hiddencost")
def command_line() -> None:
    """Read, compare and export the run files of pytest-hiddencost.

    A run file is what `pytest --hiddencost-json=run.json` writes.

    \b
    Exit codes:
      0  done
      1  compare: calls, MACs or bytes differ; history --gate: a call rose;
         suggest --write: nobody agreed to the changes
      2  cannot do it: wrong usage, or a file that cannot be read or written
    """
