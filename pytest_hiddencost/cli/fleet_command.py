"""``hiddencost fleet``: the devices of a fleet, their health, and what they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pytest_hiddencost.cli.fleet_options import Reach, reach_options
from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.core.printable import printable

if TYPE_CHECKING:
    from pytest_hiddencost.fleet.members import Member

_HEADERS = ("device", "kind", "torch", "plugin", "python", "load", "runs")


@click.command("fleet")
@click.argument("scheduler")
@reach_options
def fleet_command(scheduler: str, reach: Reach) -> None:
    """List the devices of a fleet, and what they run.

    SCHEDULER is tcp://HOST:8786, tls://HOST:8786 or a scheduler file. The load is Dask's: processor
    and memory of the device's own process.

    \b
    Example:
      hiddencost fleet tcp://127.0.0.1:8786
    """
    extra("distributed", "fleet", "hiddencost fleet")
    from tabulate import tabulate

    from pytest_hiddencost.fleet.members import connected, members

    client = connected(reach.address(scheduler, "SCHEDULER"), reach.files)
    try:
        found = members(client, running=True)
        dashboard = client.dashboard_link
    finally:
        client.close(timeout=1)
    if found:
        rows = [_row(device) for device in found]
        click.echo(printable_lines(tabulate(rows, _HEADERS, disable_numparse=True)))
    else:
        click.echo("no device; start one with hiddencost device --scheduler ADDRESS")
    click.echo(f"dashboard: {dashboard}")


def _row(device: Member) -> list[str]:
    info = device.info
    runs = ", ".join(_test_of(key) for key in device.running) or "-"
    return [device.name, info.kind, info.torch, info.plugin, info.python, device.load, runs]


def _test_of(key: str) -> str:
    """Return the test in the key of one of our tasks; the key itself for others."""
    word, _, rest = key.partition("-")
    return rest.split("-", 2)[-1] if word == "hiddencost" else key


def printable_lines(text: str) -> str:
    """Return lines without characters that a terminal obeys."""
    return "\n".join(printable(line) for line in text.splitlines())
