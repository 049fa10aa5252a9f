"""JSON for github-action-benchmark: what its ``customSmallerIsBetter`` reads."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from pytest_hiddencost.report.exports.github_benchmark import github_benchmark_json
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import network
from tests.report.exports.runs import hostile, run_of

# The interface BenchmarkResult in src/extract.ts of benchmark-action/github-action-benchmark.
RESULTS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "unit": {"type": "string"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "value", "unit"],
        "additionalProperties": False,
    },
}
RANGE = re.compile(r"(?P<prefix>(\+-|±)\s*)(?P<value>\d.+)")  # src/extractRangeInfo.ts


def exported(run: RunFile) -> dict[str, dict[str, Any]]:
    found = json.loads(github_benchmark_json(run))
    jsonschema.validate(found, RESULTS)
    by_name = {entry["name"]: entry for entry in found}
    assert len(by_name) == len(found)
    return by_name


def test_an_entry_for_each_quantity_that_may_not_grow() -> None:
    found = exported(run_of(network(label="b1")))
    name = "test_models.py::test_it b1"
    assert (found[f"{name}: p50"]["value"], found[f"{name}: p50"]["unit"]) == (10_000, "us")
    assert (found[f"{name}: non_mac_share"]["value"], found[f"{name}: macs"]["value"]) == (
        40,
        30_000_000,
    )
    assert f"{name}: mac_rate" not in found  # more is better
    assert f"{name}: allocated_bytes" not in found  # not known


def test_the_range_is_one_that_the_action_reads() -> None:
    profile = network()
    entry = exported(run_of(profile))["test_models.py::test_it: p50"]
    match = RANGE.fullmatch(entry["range"])
    assert match is not None
    low, high = profile.latency.median_ci_ns or (0, 0)
    half_us = max(high - profile.latency.median_ns, profile.latency.median_ns - low) / 1e3
    assert float(match["value"]) == pytest.approx(half_us, abs=0.001)
    assert entry["extra"] == "600 timed calls\nmodel: MobileNet"


def test_every_call_is_there_once() -> None:
    run = hostile()
    assert sum(name.endswith(": p50") for name in exported(run)) == len(run.profiles)
    assert exported(run_of()) == {}
