"""Bencher Metric Format, version 0: JSON of benchmark, measure, and its value with bounds.

Source: https://bencher.dev/docs/reference/bencher-metric-format and https://bencher.dev/bmf.json.
"""

from __future__ import annotations

import json

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.exports.call_quantities import CALL_QUANTITIES, uniquely_named
from pytest_hiddencost.report.run_file import RunFile

LONGEST_NAME_BYTES = 1024
# Slugs of Bencher's measures. It knows "latency" itself, in ns; it creates the others.
MEASURES = {
    "p50": "latency",
    "p95": "latency-p95",
    "p99": "latency-p99",
    "non_mac": "non-mac-time",
    "non_mac_share": "non-mac-share",
    "macs": "macs",
    "mac_rate": "mac-rate",
    "calls": "operator-calls",
    "activation_memory": "activation-memory",
    "allocated_bytes": "allocated-bytes",
    "energy": "energy",
}


def bencher_json(run: RunFile) -> str:
    """Return the run as one JSON object: a benchmark for each call. Raises ``ValueError``."""
    # Four bytes are the most that a character takes.
    found = {
        name: _measures(p) for name, p in uniquely_named(run.profiles, LONGEST_NAME_BYTES // 4)
    }
    return json.dumps(found, indent=1, allow_nan=False) + "\n"


def _measures(profile: Profile) -> dict[str, dict[str, float]]:
    measures = {
        MEASURES[quantity.key]: {"value": value}
        for quantity in CALL_QUANTITIES
        if (value := quantity.of(profile)) is not None
    }
    if profile.latency.median_ci_ns is not None:
        low, high = profile.latency.median_ci_ns
        measures[MEASURES["p50"]].update(lower_value=low, upper_value=high)
    return measures
