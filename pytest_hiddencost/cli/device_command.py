"""``hiddencost device``: this device joins a fleet, and runs the tests that are sent to it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pytest_hiddencost.cli.fleet_options import Reach, reach_options
from pytest_hiddencost.core.extras import extra


@click.command("device")
@click.option("--scheduler", required=True, help="tcp://HOST:8786, tls://HOST:8786 or a file")
@click.option("--name", help="name in lists and messages (default: KIND-PROCESS)")
@click.option("--kind", help="kind of this device (default: its board or processor, by torch)")
@click.option("--device", default="", help="torch device that names the kind: cpu, cuda, ...")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="folder for the sources of projects (default: ~/.cache/hiddencost-device/NAME)",
)
@reach_options
def device_command(
    scheduler: str,
    name: str | None,
    kind: str | None,
    device: str,
    cache: Path | None,
    reach: Reach,
) -> None:
    """Let this device run the tests of a fleet.

    It joins a Dask scheduler and runs one test at a time, until you stop it. Whoever reaches the
    scheduler can run any program here: without TLS only a scheduler on this machine is accepted.

    \b
    Examples:
      hiddencost device --scheduler tcp://127.0.0.1:8786
      hiddencost device --scheduler tls://ci:8786 --tls-ca-file ca.pem
    """
    extra("distributed", "fleet", "hiddencost device")
    from pytest_hiddencost.fleet.addresses import security
    from pytest_hiddencost.fleet.device_info import described_device, named_device
    from pytest_hiddencost.fleet.joining import Membership, stay_joined

    address = reach.address(scheduler, "--scheduler")
    info = named_device(kind) if kind else described_device(device)
    own = name or f"{info.kind}-{os.getpid()}"
    folder = cache or Path.home() / ".cache" / "hiddencost-device" / (name or info.kind)
    folder.mkdir(parents=True, exist_ok=True)
    member = Membership(address, info, own, folder, security(address, reach.files))
    stay_joined(member, lambda text: click.echo(text, err=True))
