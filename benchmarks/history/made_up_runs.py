"""Made-up runs, added as runs are: one file of each table, then small files are merged."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pyarrow as pa

from pytest_hiddencost.history.parquet_files import arrow_schema, parquet_of_table
from pytest_hiddencost.history.small_files import merge_small_files
from pytest_hiddencost.history.store_folder import StoreFolder
from pytest_hiddencost.history.store_names import StoredFile, new_run_id, part_name
from pytest_hiddencost.history.store_tables import STORE_SCHEMA

START = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
OPERATORS = ("aten::mkldnn_convolution", "aten::native_batch_norm", "aten::cat", "aten::copy_")
SAMPLES = 20  # of a call: fewer than real ones, which a compaction drops after a while


def write_runs(url: str, devices: int, calls: int, days: int) -> list[float]:
    """Add the runs of every device and day; return the seconds that each took to merge files."""
    seconds = []
    folder, random = StoreFolder(url), np.random.default_rng(0)
    for device in range(devices):
        p50s_ns = random.lognormal(16, 1, calls)
        for day in range(days):
            p50s_ns *= 1.08 if day == days // 2 and device == 0 else 1.0
            noisy_ns = p50s_ns * np.exp(random.normal(0, 0.015, calls))
            key, now = f"cpu-board-{device:02d}", START + timedelta(days=day)
            _write_run(folder, key, now, noisy_ns)
            start = time.perf_counter()
            merge_small_files(folder, key, now)
            seconds.append(time.perf_counter() - start)
    return seconds


def _write_run(folder: StoreFolder, device: str, now: datetime, p50s_ns: np.ndarray) -> None:
    run_id = new_run_id(now)
    part, calls = part_name(0, run_id), len(p50s_ns)
    shared = {"run_id": run_id, "time": now, "device": device, "part": part}
    tests = [f"tests/test_models.py::test_model_{number:03d}" for number in range(calls)]
    names = [name for _ in tests for name in OPERATORS]
    tables = {
        "operators": {
            **_repeated(shared, len(names)),
            "test": [test for test in tests for _ in OPERATORS],
            "label": [""] * len(names),
            "name": names,
            "group": ["data_movement"] * len(names),
            "calls": [12] * len(names),
            "self_ns": np.repeat(p50s_ns, len(OPERATORS)) * 0.2,
            "mac_share": [0.0] * len(names),
        },
        "profiles": {
            **_repeated(shared, calls),
            "test": tests,
            "label": [""] * calls,
            "call_model": ["Model"] * calls,
            "p50_ns": p50s_ns,
            "p95_ns": p50s_ns * 1.1,
            "p99_ns": p50s_ns * 1.2,
            "p50_low_ns": p50s_ns * 0.98,
            "p50_high_ns": p50s_ns * 1.02,
            "confidence": [0.99] * calls,
            "relative": p50s_ns / 1e6,
            "reference_version": [1] * calls,
            "non_mac_ns": p50s_ns * 0.4,
            "mac_ns": p50s_ns * 0.6,
            "macs": [30_000_000] * calls,
            "peak_bytes": [24 << 20] * calls,
            "verdict": ["pass"] * calls,
            "fit": [True] * calls,
            "health": [""] * calls,
            "samples": [p50.astype(int).tolist() for p50 in _samples(p50s_ns)],
        },
        "runs": {
            **_repeated(shared, 1),
            "schema": [STORE_SCHEMA],
            "commit": [run_id.replace("-", "")],
            "branch": ["main"],
            "torch": ["2.13.0"],
            "fit": [True],
            "profiles": [calls],
        },
    }
    sizes = {"operators": len(names), "profiles": calls, "runs": 1}
    for table, columns in tables.items():
        schema, size = arrow_schema(table), sizes[table]
        arrays = [pa.array(columns.get(f.name, [None] * size), f.type) for f in schema]
        found = pa.Table.from_arrays(arrays, schema=schema)
        file = StoredFile(table, device, f"{now:%Y-%m}", part)
        folder.add(file, parquet_of_table(found))


def _repeated(row: dict[str, object], times: int) -> dict[str, list[object]]:
    return {name: [value] * times for name, value in row.items()}


def _samples(p50s_ns: np.ndarray) -> np.ndarray:
    return np.asarray(np.outer(p50s_ns, np.linspace(0.95, 1.05, SAMPLES)))
