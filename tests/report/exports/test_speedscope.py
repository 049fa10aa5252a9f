"""Speedscope files: valid by its schema, with the times of the call."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from pytest_hiddencost.report.exports.speedscope import speedscope_json
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import MS
from tests.report.exports.runs import hostile, run_of, sited

NUMBERS = {"type": "array", "items": {"type": "number"}}
# The parts that a sampled profile uses of https://www.speedscope.app/file-format-schema.json,
# speedscope 1.25.0. Stricter: no key beyond those that it names.
SPEEDSCOPE = {
    "type": "object",
    "required": ["$schema", "profiles", "shared"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "https://www.speedscope.app/file-format-schema.json"},
        "activeProfileIndex": {"type": "number"},
        "exporter": {"type": "string"},
        "name": {"type": "string"},
        "shared": {
            "type": "object",
            "required": ["frames"],
            "additionalProperties": False,
            "properties": {
                "frames": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "file": {"type": "string"},
                            "line": {"type": "number"},
                            "col": {"type": "number"},
                        },
                    },
                }
            },
        },
        "profiles": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "endValue", "name", "samples", "startValue", "type", "unit", "weights",
                ],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "sampled"},
                    "name": {"type": "string"},
                    "unit": {
                        "enum": [
                            "bytes", "microseconds", "milliseconds", "nanoseconds", "none",
                            "seconds",
                        ]
                    },
                    "startValue": {"type": "number"},
                    "endValue": {"type": "number"},
                    "samples": {"type": "array", "items": NUMBERS},
                    "weights": NUMBERS,
                },
            },
        },
    },
}  # fmt: skip


def exported(run: RunFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(speedscope_json(run))
    jsonschema.validate(found, SPEEDSCOPE)
    frames = len(found["shared"]["frames"])
    for profile in found["profiles"]:
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= index < frames for stack in profile["samples"] for index in stack)
        assert all(weight > 0 for weight in profile["weights"])
        assert sum(profile["weights"]) == profile["endValue"]
    return found


def test_stacks_and_their_times() -> None:
    found = exported(run_of(sited()))
    [profile] = found["profiles"]
    frames = [frame["name"] for frame in found["shared"]["frames"]]
    stacks = {
        tuple(frames[i] for i in stack): ns
        for stack, ns in zip(profile["samples"], profile["weights"], strict=True)
    }
    outer: tuple[str, ...] = ("test_a.py::test_sited",)
    inner = ("features", "features.0", "aten::conv2d", "aten::mkldnn_convolution")
    assert stacks[outer + inner] == 4 * MS
    assert profile["endValue"] == 10 * MS
    assert profile["unit"] == "nanoseconds"


def test_the_file_says_that_it_adds_up() -> None:
    found = exported(run_of(sited()))
    assert "aggregate of a call, not a timeline" in found["name"]
    assert "aggregate of a call, not a timeline" in found["profiles"][0]["name"]
    assert found["exporter"].startswith("pytest-hiddencost@")


def test_frames_have_the_users_lines() -> None:
    frames = exported(run_of(sited()))["shared"]["frames"]
    assert {"name": "aten::conv2d", "file": "net.py", "line": 10} in frames


def test_a_profile_for_each_call() -> None:
    run = hostile()
    names = [profile["name"] for profile in exported(run)["profiles"]]
    assert len(set(names)) == len(run.profiles)
