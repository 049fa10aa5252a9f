"""Entries that a device could have recorded, and stores for them; also for processes of tests."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_hiddencost.core.records import Device
from pytest_hiddencost.judge.baseline.entries import Entry, OperatorEntry
from pytest_hiddencost.judge.baseline.store import Baselines

MODULE = "tests/test_models.py"
OTHER = "tests/test_others.py"

DEVICE = Device(
    key="cpu-some-board-4c2t-aarch64-torch2.13",
    kind="cpu",
    model="Some Board",
    cores=4,
    threads=2,
    arch="aarch64",
    os="Linux",
    python="3.11.7",
    torch="2.13.0",
)


def entry(number: int = 1, operators: int = 2, **changes: Any) -> Entry:
    """An entry of two launches, different for every ``number`` (at least 1)."""
    made = Entry(
        model="MobileNet",
        created="2024-05-01T10:00:00Z",
        commit="0123abc",
        reason="",
        macs=30_000_000,
        mac_kinds={"conv2d 3x3": 20_000_000, "linear": 10_000_000},
        allocated_bytes=3 * 2**20,
        activation_peak_bytes=2**20,
        p50_ns=(number, number + 1),
        reference_ns=(1_000_000, 1_010_000),
        relative=(10.25, 9.5),
        non_mac_ns=(4_000_000, 4_100_000),
        groups_ns={"mac": (6_000_000, 6_000_001), "view": (1_000, 0)},
        operators={
            f"aten::operator_{i}": OperatorEntry("view", i, (i, number), modules={"stem.*": i})
            for i in range(operators)
        },
    )
    return replace(made, **changes)


def store(base: Path, **device: Any) -> Baselines:
    """The baselines below ``base`` of a device like ``DEVICE``."""
    return Baselines(base, replace(DEVICE, **device))


def environment() -> dict[str, str]:
    """The environment of a process without coverage: a killed one would leave half a file."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return {**known, "PYTHONPATH": os.pathsep.join(sys.path)}


def file_of(base: Path, module: str = MODULE) -> Path:
    """The file of an ordinary module's baselines."""
    return base / DEVICE.key / f"{module}.json"


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder but the lock: contents by path, None for a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.name != ".lock"
    }
