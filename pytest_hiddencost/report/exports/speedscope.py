"""Speedscope files: where the time of each call goes, for https://www.speedscope.app.

Source: https://www.speedscope.app/file-format-schema.json, which the npm package ``speedscope``
ships as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pytest_hiddencost import __version__
from pytest_hiddencost.report.exports.call_quantities import uniquely_named
from pytest_hiddencost.report.exports.call_tree import TreeFrame, TreeNode, call_tree
from pytest_hiddencost.report.run_file import RunFile

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
AGGREGATE = "aggregate of a call, not a timeline"


def speedscope_json(run: RunFile) -> str:
    """Return a file with a profile for each call, in ns. Raises ``ValueError``."""
    frames: dict[TreeFrame, int] = {}
    profiles = [
        _profile(name, call_tree(p, name), frames) for name, p in uniquely_named(run.profiles)
    ]
    document = {
        "$schema": SCHEMA,
        "name": f"hiddencost on {run.device.model}: {AGGREGATE}",
        "exporter": f"pytest-hiddencost@{__version__}",
        "activeProfileIndex": 0,
        "shared": {"frames": [_frame(frame) for frame in frames]},
        "profiles": profiles,
    }
    return json.dumps(document, allow_nan=False) + "\n"


def _profile(name: str, root: TreeNode, frames: dict[TreeFrame, int]) -> dict[str, Any]:
    found = [(stack, ns) for stack, ns in _samples(root, (), frames) if ns > 0]
    return {
        "type": "sampled",
        "name": f"{name} ({AGGREGATE})",
        "unit": "nanoseconds",
        "startValue": 0,
        "endValue": sum(ns for _, ns in found),
        "samples": [stack for stack, _ in found],
        "weights": [ns for _, ns in found],
    }


def _samples(
    node: TreeNode, above: tuple[int, ...], frames: dict[TreeFrame, int]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yield a stack of frames and its own time for each node, outer nodes before inner ones."""
    stack = (*above, frames.setdefault(node.frame, len(frames)))
    yield stack, node.self_ns
    for inner in node.ordered():
        yield from _samples(inner, stack, frames)


def _frame(frame: TreeFrame) -> dict[str, Any]:
    place = {"file": frame.file, "line": frame.line} if frame.file else {}
    return {"name": frame.name, **place}
