"""The ``hiddencost`` command: subcommands by name, each imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

from pytest_hiddencost import __version__
from pytest_hiddencost.core.errors import HiddenCostError

COMMANDS: dict[str, str] = {}
"""The module of each subcommand, in this package: its function of the same name runs it."""


class _Commands(click.Group):
    """Imports a subcommand on its first use; our errors end the command in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"pytest_hiddencost.cli.{COMMANDS[cmd_name]}")
        found: click.Command = getattr(module, COMMANDS[cmd_name])
        return found

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except HiddenCostError as error:
            raise click.ClickException(str(error)) from error


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hiddencost")
def command_line() -> None:
    """Read, compare and export the run files of pytest-hiddencost."""
