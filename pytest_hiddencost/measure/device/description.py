"""The device that is measured: its choice, and the record that describes it."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import torch

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.system.affinity import usable_cores


def choose_device(name: str | None) -> torch.device:
    """Return the device called ``name`` (``cpu``, ``cuda:1``); torch's default device for None.

    Raises ``MeasurementError`` for a name that torch does not know and a device it does not have.
    """
    if name is None:
        return torch.get_default_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MeasurementError(
            f"device {name!r} is not known to torch; --hiddencost-device accepts "
            "cpu, cuda, cuda:N, mps, xpu"
        ) from error
    if device.type != "cpu" and not _available(device):
        raise MeasurementError(
            f"device {name!r} is not available: torch {torch.__version__} sees no such device; "
            "leave the option out (--hiddencost-device) to measure on the CPU"
        )
    return device


def _available(device: torch.device) -> bool:
    try:
        backend = torch.get_device_module(device)
    except RuntimeError:
        return False
    indexed = device.index is not None
    return bool(backend.is_available() and not (indexed and device.index >= backend.device_count()))


def intra_op_threads() -> int:
    """Return the number of threads that torch uses inside one operator."""
    return torch.get_num_threads()


def torch_version() -> str:
    """Return torch's version, as a plain string (torch's own is a subclass no codec knows)."""
    return str(torch.__version__)


def describe_device(device: torch.device, threads: int | None = None) -> Device:
    """Return the record of ``device`` with ``threads`` intra-op threads (None: torch's setting).

    The record's ``key`` names the folder of the device's baselines.
    """
    threads = threads or intra_op_threads()
    model = cpu_model() if device.type == "cpu" else device.type
    if device.type == "cuda":
        model = torch.cuda.get_device_name(device)
    cores, arch = len(usable_cores()), platform.machine()
    torch_release = ".".join(torch_version().split("+")[0].split(".")[:2])
    return Device(
        key=f"{device.type}-{_slug(model)}-{cores}c{threads}t-{arch}-torch{torch_release}",
        kind=device.type,
        model=model,
        cores=cores,
        threads=threads,
        arch=arch,
        os=platform.platform(terse=True),
        python=platform.python_version(),
        torch=torch_version(),
    )


def cpu_model() -> str:
    """Return the board's name (device tree); without one the CPU's; else the architecture."""
    board = _read("/proc/device-tree/model").strip("\0 \n")
    if board:
        return board
    named = re.search(r"^model name.*?:(.*)", _read("/proc/cpuinfo"), re.MULTILINE)
    return named[1].strip() if named else platform.processor() or platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _slug(text: str) -> str:
    text = re.sub(r"\((R|TM)\)|@.*|\bCPU\b|\bProcessor\b", " ", text, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "unknown"
