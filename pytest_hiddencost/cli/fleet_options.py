"""The options of the commands that reach a fleet's scheduler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from pytest_hiddencost.fleet.addresses import (
    Certificates,
    refuse_open_network,
    scheduler_address,
)


@dataclass(frozen=True)
class Reach:
    """How a command may reach the scheduler."""

    files: Certificates
    insecure: bool

    def address(self, text: str, where: str) -> str:
        """Return the scheduler's address. Raises ``SettingError``."""
        found = scheduler_address(text, Path.cwd(), where)
        refuse_open_network(found, where, insecure=self.insecure, option="--insecure")
        return found


def reach_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of TLS; it gets a ``Reach``."""

    @click.option("--tls-ca-file", default="", help="certificate of the authority (tls://)")
    @click.option("--tls-cert", default="", help="own certificate (tls://)")
    @click.option("--tls-key", default="", help="own key (tls://)")
    @click.option("--insecure", is_flag=True, help="accept a network scheduler without TLS")
    @wraps(function)
    def command(
        tls_ca_file: str, tls_cert: str, tls_key: str, insecure: bool, **given: Any
    ) -> None:
        files = Certificates(tls_ca_file, tls_cert, tls_key)
        function(reach=Reach(files, insecure), **given)

    return command
