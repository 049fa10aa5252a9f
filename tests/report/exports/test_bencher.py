"""Bencher Metric Format: as Bencher publishes it, with the figures of the run."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from pytest_hiddencost.report.exports.bencher import LONGEST_NAME_BYTES, bencher_json
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import network
from tests.report.exports.runs import hostile, run_of

# https://bencher.dev/bmf.json
BMF = {
    "$schema": "http://json-schema.org/draft-07/schema",
    "type": "object",
    "patternProperties": {
        ".+": {
            "type": "object",
            "patternProperties": {
                ".+": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "number"},
                        "lower_value": {"type": "number"},
                        "upper_value": {"type": "number"},
                    },
                    "required": ["value"],
                }
            },
        }
    },
}


def exported(run: RunFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bencher_json(run))
    jsonschema.validate(found, BMF)
    return found


def test_a_call_is_a_benchmark_with_a_value_for_each_measure() -> None:
    profile = network()
    [measures] = exported(run_of(profile)).values()
    low, high = profile.latency.median_ci_ns or (0, 0)
    assert measures["latency"] == {"value": 10_000_000, "lower_value": low, "upper_value": high}
    assert measures["macs"] == {"value": 30_000_000}
    assert measures["non-mac-share"] == {"value": profile.non_mac_share}
    assert "allocated-bytes" not in measures  # not known


def test_measures_are_slugs() -> None:
    [measures] = exported(run_of(network(allocated_bytes=1))).values()
    assert len(measures) == 10
    for slug in measures:
        assert slug == slug.lower().replace("_", "-")
        assert len(slug) <= 64


def test_every_call_has_a_name_that_bencher_takes() -> None:
    run = hostile()
    found = exported(run)
    assert len(found) == len(run.profiles)
    assert all(0 < len(name.encode()) <= LONGEST_NAME_BYTES for name in found)
    [name] = exported(run_of(network(test="é" * 3000)))
    assert len(name.encode()) <= LONGEST_NAME_BYTES


def test_an_empty_run_is_an_empty_object() -> None:
    assert exported(run_of()) == {}
