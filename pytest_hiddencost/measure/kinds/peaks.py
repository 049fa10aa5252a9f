"""The peaks of a device: a large matrix product, copies of growing size, and a call alone."""

from __future__ import annotations

import math
from functools import cache, partial

import torch
from torch.utils._python_dispatch import _disable_current_modes

from pytest_hiddencost.core.operator_rates import CopyRate, Peaks
from pytest_hiddencost.measure.kinds.repetitions import Runs, repetition_time
from pytest_hiddencost.system.caches import last_level_cache_bytes
from pytest_hiddencost.system.memory import available_bytes

MATRICES = (256, 512, 1024, 2048)  # rows and columns; devices differ in the fastest size
LARGE_MATRIX = 8192  # for accelerators
COPIED_KIB = (64, 512, 4 * 1024, 16 * 1024)
PART_BYTES = 4 * 2**20  # of a copy on the CPU, at most, so that a block stays short
FLOAT_BYTES = 4
COLD_BYTES = 128 * 2**20  # at least, on a CPU
COLD_CACHES = 2  # times the last-level caches of a CPU, which keep a part of more than they hold
ACCELERATOR_COLD_BYTES = 512 * 2**20  # a copy of two buffers; caches hold up to 256 MiB
MEMORY_PART = 0.25  # of the available memory, at most


@cache
def measured_peaks(device: torch.device, threads: int) -> Peaks:
    """Measure the peaks in fp32, once per process; ``threads`` is torch's present setting."""
    with torch.inference_mode(), _disable_current_modes():
        copied = (*(kib * 1024 for kib in COPIED_KIB), cold_bytes(device))
        return Peaks(
            mac_rate=max(_mac_rate(size, device) for size in _sizes(device)),
            copies=tuple(CopyRate(size, _copy_rate(size, device)) for size in copied),
            call_ns=_call_ns(device),
        )


def cold_bytes(device: torch.device) -> int:
    """Return a number of bytes that no cache holds; a device with little memory gets fewer."""
    on_cpu = max(COLD_BYTES, COLD_CACHES * last_level_cache_bytes())
    wanted = on_cpu if device.type == "cpu" else ACCELERATOR_COLD_BYTES
    return int(min(wanted, MEMORY_PART * min(available_bytes(), _free_bytes(device))))


def _free_bytes(device: torch.device) -> float:
    """Return the free memory of an accelerator; infinity if the system does not report it."""
    if device.type not in ("cuda", "xpu"):
        return math.inf
    free: int = torch.get_device_module(device).mem_get_info(device)[0]
    return free


def _sizes(device: torch.device) -> tuple[int, ...]:
    return MATRICES if device.type == "cpu" else (*MATRICES, LARGE_MATRIX)


def _mac_rate(size: int, device: torch.device) -> float:
    left, right = torch.rand(2, size, size, device=device)
    product = torch.empty(size, size, device=device)
    return size**3 / _seconds([partial(torch.mm, left, right, out=product)], device)


def _copy_rate(copied_bytes: int, device: torch.device) -> float:
    """Return the rate of copies that go through buffers of so many bytes.

    A CPU copies them part by part. An accelerator copies a part faster than Python issues copies.
    """
    parts = -(-copied_bytes // PART_BYTES) if device.type == "cpu" else 1
    elements = copied_bytes // (2 * FLOAT_BYTES * parts)
    runs = []
    for _ in range(parts):
        source, target = torch.rand(2, elements, device=device)
        runs.append(partial(target.copy_, source))
    return 2 * FLOAT_BYTES * elements / _seconds(runs, device)


def _call_ns(device: torch.device) -> float:
    one = torch.ones(1, device=device)
    return 1e9 * _seconds([partial(torch.add, one, one)], device)


def _seconds(runs: Runs, device: torch.device) -> float:
    """Return the time of a repetition in the fastest block: a peak is the most that was reached."""
    return repetition_time(runs, device).fastest_ns / 1e9
