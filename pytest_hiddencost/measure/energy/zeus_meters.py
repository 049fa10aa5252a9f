"""Counters that only vendors' libraries read, by way of zeus: NVML, AMD SMI, Apple's IOReport.

Zeus knows RAPL and Jetson as well, but polls them in processes of its own, which would disturb the
calls. So the kernel's files are read here instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.extras import ExtraError, extra

NJ_PER_MJ = 1_000_000
_APPLE = {"cpu": ("cpu_total_mj", "dram_mj"), "mps": ("gpu_mj", "gpu_sram_mj")}


class ZeusMeter:
    """A counter in mJ of one of zeus's devices."""

    def __init__(self, name: str, domain: str, read_mj: Callable[[], float]) -> None:
        self.name = name
        self.domain = domain
        self._read_mj = read_mj
        self.read_nj()

    def read_nj(self) -> float:
        """Return the energy in nJ since a fixed moment. Raises ``EnergyError``."""
        try:
            return self._read_mj() * NJ_PER_MJ
        except Exception as error:  # of the vendor's library
            raise EnergyError(f"{self.name}: {type(error).__name__}: {error}", "") from error


def gpu_counter(device: torch.device) -> ZeusMeter:
    """Return the counter of a GPU, by NVML or AMD SMI. Raises ``EnergyError``."""
    index = torch.cuda.current_device() if device.index is None else device.index
    gpus = _zeus("zeus.device.gpu", lambda module: module.get_gpus())
    # Zeus counts GPUs as torch does: those that CUDA_VISIBLE_DEVICES leaves, from 0 on.
    return ZeusMeter("GPU counter", "gpu", lambda: gpus.get_total_energy_consumption(index))


def apple_counter(device: torch.device) -> ZeusMeter:
    """Return the counters of an Apple chip for its processor or its GPU. Raises ``EnergyError``."""
    chip = _zeus("zeus.device.soc.apple", lambda module: module.AppleSilicon())
    parts = _APPLE[device.type]

    def read_mj() -> float:
        found = chip.get_total_energy_consumption()
        return sum(getattr(found, part) or 0 for part in parts)

    return ZeusMeter("Apple counter", "gpu" if device.type == "mps" else "package", read_mj)


def _zeus(module: str, make: Callable[[Any], Any]) -> Any:
    """Return an object of a module of zeus, which may be missing or find no device."""
    try:
        return make(extra(module, "energy", "zeus reads this device"))
    except ExtraError as error:
        reason, _, remedy = str(error).partition("; ")
        raise EnergyError(reason, remedy) from error
    except Exception as error:
        raise EnergyError(f"zeus: {type(error).__name__}: {error}", "") from error
