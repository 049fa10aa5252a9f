"""The devices that are in a fleet now, and what each of them runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_hiddencost import __version__
from pytest_hiddencost.core.errors import FleetError
from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.fleet.addresses import NO_FILES, Certificates, security
from pytest_hiddencost.fleet.device_info import DeviceInfo, advertised
from pytest_hiddencost.report.wording import grouped

CONNECT_S = 10.0
_ANSWER_S = 15.0


@dataclass(frozen=True)
class Member:
    """One device of a fleet; ``running`` are the keys of its Dask tasks.

    ``metrics`` are Dask's: ``cpu`` in percent, ``memory`` in bytes, and others.
    """

    address: str
    name: str
    info: DeviceInfo
    metrics: Mapping[str, Any] = field(default_factory=dict)
    running: tuple[str, ...] = ()

    @property
    def load(self) -> str:
        """Processor and memory in use, in words."""
        cpu, memory = self.metrics.get("cpu", 0.0), self.metrics.get("memory", 0)
        return f"{float(cpu):.0f} % CPU, {int(memory) / 2**20:.0f} MiB"


def connected(address: str, files: Certificates = NO_FILES) -> Any:
    """Return Dask's client of a scheduler. Raises ``FleetError``."""
    distributed = extra("distributed", "fleet", "a fleet")
    logging.getLogger("distributed").setLevel(logging.ERROR)  # a lost device is in the summary
    try:
        return distributed.Client(
            address, security=security(address, files), timeout=CONNECT_S, set_as_default=False
        )
    except (OSError, TimeoutError, ValueError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FleetError(
            f"no scheduler answered at {address}: {why}; start one with dask scheduler"
        ) from error


def members(client: Any, *, running: bool = False) -> list[Member]:
    """Return the devices of the fleet by name; other workers of Dask are left out.

    Raises ``FleetError`` if the scheduler does not answer.
    """
    try:
        found = client.sync(client.scheduler.identity, callback_timeout=_ANSWER_S)
        tasks: Mapping[str, Sequence[Any]] = {}
        if running:
            tasks = client.sync(client.scheduler.processing, callback_timeout=_ANSWER_S)
    except Exception as error:  # Dask's transports each raise their own
        raise FleetError(f"the scheduler did not answer: {error!r:.200}") from error
    devices = []
    for address, worker in found["workers"].items():
        if (info := advertised(worker)) is not None:
            keys = tuple(map(str, tasks.get(address, ())))
            metrics = worker.get("metrics", {})
            devices.append(Member(address, str(worker["name"]), info, metrics, keys))
    return sorted(devices, key=lambda device: (device.info.kind, device.name))


def refuse_other_versions(devices: Sequence[Member]) -> None:
    """Refuse devices with another version of the plugin. Raises ``FleetError``."""
    for device in devices:
        if device.info.plugin != __version__:
            raise FleetError(
                f"{device.name} has pytest-hiddencost {device.info.plugin}, and this run has "
                f"{__version__}: install the same version on both"
            )


def differences(devices: Sequence[Member]) -> list[str]:
    """Return a line for each kind whose devices differ in cores, threads, architecture or torch."""
    lines = []
    for kind in dict.fromkeys(device.info.kind for device in devices):
        names = grouped((d.info.key, d.name) for d in devices if d.info.kind == kind)
        if len(names) > 1:
            found = ", ".join(f"{key} ({listed(each)})" for key, each in names.items())
            lines.append(
                f"devices of {kind} differ: {found}; their results share a table and a run file; "
                "give each its own kind with hiddencost device --kind"
            )
    return lines


def chosen_kinds(devices: Sequence[Member], wanted: Sequence[str], where: str) -> list[str]:
    """Return the kinds to run on: the wanted ones, or all. Raises ``FleetError``."""
    present = sorted({device.info.kind for device in devices})
    if not present:
        raise FleetError(
            "the fleet has no device; start one with hiddencost device --scheduler ADDRESS"
        )
    if missing := [kind for kind in wanted if kind not in present]:
        raise FleetError(
            f"{where}: the fleet has no device of {', '.join(missing)}; it has {', '.join(present)}"
        )
    return list(dict.fromkeys(wanted)) or present
