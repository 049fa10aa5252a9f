"""The description that a device gives of itself when it joins a fleet."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from pytest_hiddencost import __version__
from pytest_hiddencost.core.errors import FleetError
from pytest_hiddencost.system.affinity import usable_cores

ADVERTISED = "hiddencost"  # the key of a device's information among those of Dask's workers
DESCRIBE_S = 300.0  # enough for the first import of torch on a board
_DESCRIBE = """
import json, sys
from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.measure.device.description import choose_device, describe_device
print(json.dumps(encode(describe_device(choose_device(sys.argv[1] or None)))))
"""


@dataclass(frozen=True)
class DeviceInfo:
    """The kind of a device, its key, and its versions.

    Devices of one kind with different keys measure different times.
    """

    kind: str
    key: str
    torch: str
    plugin: str
    python: str


def kind_of(key: str) -> str:
    """Return the kind of a device: its key without cores, threads, architecture and torch."""
    return re.sub(r"-[0-9]+c[0-9]+t-.*$", "", key)


def installed_torch() -> str:
    """Return the version of the installed torch, which is not imported; empty without one."""
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def named_device(kind: str) -> DeviceInfo:
    """Return the information of a device whose kind the user gives.

    Without torch its threads are not known, so the key has none. Raises ``FleetError``.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", kind):
        raise FleetError(
            f"--kind={kind!r:.80}: expected letters, digits, dots and dashes, such as cpu-my-board"
        )
    torch = installed_torch()
    release = ".".join(torch.partition("+")[0].split(".")[:2])
    key = f"{kind}-{len(usable_cores())}c-{platform.machine()}-torch{release}"
    return DeviceInfo(kind, key, torch, __version__, platform.python_version())


def described_device(device: str = "") -> DeviceInfo:
    """Ask torch for the device in a process of its own; this process never imports it.

    Raises ``FleetError``.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DESCRIBE, device],
            capture_output=True,
            text=True,
            timeout=DESCRIBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FleetError(f"this device could not be described: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise FleetError(f"this device could not be described: {last}")
    found = json.loads(done.stdout.splitlines()[-1])
    kind, key, torch = kind_of(found["key"]), found["key"], found["torch"]
    return DeviceInfo(kind, key, torch, __version__, platform.python_version())


def advertised(worker: Mapping[str, object]) -> DeviceInfo | None:
    """Return the information in Dask's description of a worker; None for other workers."""
    data = worker.get(ADVERTISED)
    if not isinstance(data, Mapping):
        return None
    texts = {name: str(data.get(name, "")) for name in DeviceInfo.__dataclass_fields__}
    return DeviceInfo(**texts)
