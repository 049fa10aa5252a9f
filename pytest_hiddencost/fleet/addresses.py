"""The address of a Dask scheduler, and whether a program may speak with it in the clear."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.extras import extra

_ADDRESS = re.compile(r"(?P<protocol>tcp|tls)://(?P<host>\[[^\]]+\]|[^:/\s]+):(?P<port>[0-9]+)")


@dataclass(frozen=True)
class Certificates:
    """Files of TLS; Dask's own configuration is used for those that are empty."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


NO_FILES = Certificates()


def scheduler_address(text: str, folder: Path, where: str) -> str:
    """Return the address that ``text`` is, or that a scheduler file names.

    ``where`` is the option. Raises ``SettingError``.
    """
    address = text
    if "://" not in text:
        path = folder / text
        try:
            address = str(json.loads(path.read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = getattr(error, "strerror", None) or repr(error)
            raise SettingError(
                f"{where}: {text!r} is neither an address such as tcp://HOST:8786 nor a scheduler "
                f"file that can be read ({why:.80}); start one with dask scheduler "
                "--scheduler-file PATH"
            ) from error
    if not _ADDRESS.fullmatch(address):
        raise SettingError(
            f"{where}: expected tcp://HOST:PORT, tls://HOST:PORT or a scheduler file, got "
            f"{address!r:.200}"
        )
    return address


def refuse_open_network(address: str, where: str, *, insecure: bool, option: str) -> None:
    """Refuse a scheduler on the network without TLS: whoever reaches it can run any program.

    ``option`` allows it. Raises ``SettingError``.
    """
    if address.startswith("tls://") or is_loopback(address) or insecure:
        return
    raise SettingError(
        f"{where}: {address} has no TLS and is not this machine; whoever reaches it can run any "
        f"program on the devices; use tls://, or {option} in a network that you trust"
    )


def is_loopback(address: str) -> bool:
    """Return whether an address can only be reached from this machine."""
    found = _ADDRESS.fullmatch(address)
    host = "" if found is None else found["host"].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def security(address: str, files: Certificates = NO_FILES) -> Any:
    """Return Dask's ``Security`` for an address; None for one without TLS.

    Raises ``SettingError``.
    """
    if not address.startswith("tls://"):
        return None
    distributed = extra("distributed", "fleet", address)
    given = {
        "tls_ca_file": files.ca,
        "tls_client_cert": files.certificate,
        "tls_client_key": files.key,
        "tls_worker_cert": files.certificate,
        "tls_worker_key": files.key,
    }
    known = {name: file for name, file in given.items() if file}
    try:
        found = distributed.Security(require_encryption=True, **known)
        context = found.get_connection_args("client")["ssl_context"]
    except (OSError, ValueError) as error:
        raise SettingError(f"{address}: the files of TLS cannot be read: {error}") from error
    if context is None:
        raise SettingError(
            f"{address}: TLS needs an authority, a certificate and its key: set them in Dask's "
            "configuration (distributed.comm.tls), or give --tls-ca-file, --tls-cert and --tls-key"
        )
    return found
