"""The JSON that github-action-benchmark reads as ``customSmallerIsBetter``.

Source: README and ``src/extract.ts`` of https://github.com/benchmark-action/github-action-benchmark.
"""

from __future__ import annotations

import json
from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.exports.call_quantities import CALL_QUANTITIES, uniquely_named
from pytest_hiddencost.report.run_file import RunFile

# One unit for all calls and runs: the action draws the numbers as they are.
UNITS: dict[units.Kind, str] = {
    "duration": "us", "share": "%", "macs": "MAC", "calls": "calls", "bytes": "B",
    "energy": "uJ",
}  # fmt: skip
_SCALE = {"duration": 1e-3, "share": 100.0, "energy": 1e-3}


def github_benchmark_json(run: RunFile) -> str:
    """Return the run as a JSON list, an entry for each quantity of a call that may not grow.

    Raises ``ValueError``.
    """
    found = [
        entry for name, profile in uniquely_named(run.profiles) for entry in _entries(name, profile)
    ]
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _entries(name: str, profile: Profile) -> list[dict[str, Any]]:
    entries = []
    for quantity in CALL_QUANTITIES:
        value = quantity.of(profile)
        if value is None or quantity.kind not in UNITS:
            continue
        entry = {
            "name": f"{name}: {quantity.key}",
            "unit": UNITS[quantity.kind],
            "value": _scaled(quantity.kind, value),
        }
        if quantity.key == "p50":
            entry |= _about(profile)
        entries.append(entry)
    return entries


def _about(profile: Profile) -> dict[str, str]:
    """Return the range of p50 as the action reads it, and the text of its tooltip."""
    latency = profile.latency
    text = {"extra": f"{len(latency.samples_ns)} timed calls\nmodel: {profile.model or 'unknown'}"}
    if latency.median_ci_ns is not None:
        low, high = latency.median_ci_ns
        half_ns = max(high - latency.median_ns, latency.median_ns - low)
        text["range"] = f"± {half_ns / 1e3:.3f}"
    return text


def _scaled(kind: units.Kind, value: float) -> float:
    return round(value * _SCALE[kind], 3) if kind in _SCALE else value
