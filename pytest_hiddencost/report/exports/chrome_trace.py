"""Trace Event Format: where the time of each call goes, for Perfetto and ``chrome://tracing``.

Source: "Trace Event Format", the JSON object format with duration events (``B`` and ``E``), as
linked from https://www.chromium.org/developers/how-tos/trace-event-profiling-tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pytest_hiddencost import __version__
from pytest_hiddencost.report.exports.call_quantities import uniquely_named
from pytest_hiddencost.report.exports.call_tree import TreeNode, call_tree
from pytest_hiddencost.report.exports.speedscope import AGGREGATE
from pytest_hiddencost.report.run_file import RunFile

Event = dict[str, Any]


def chrome_trace_json(run: RunFile) -> str:
    """Return a trace with a process for each call, times in us. Raises ``ValueError``."""
    events = [
        event
        for number, (name, profile) in enumerate(uniquely_named(run.profiles), start=1)
        for event in _process(number, name, call_tree(profile, name))
    ]
    document = {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {
            "note": f"{AGGREGATE}: largest part first",
            "generator": f"pytest-hiddencost {__version__}",
            "device": run.device.model,
        },
    }
    return json.dumps(document, allow_nan=False) + "\n"


def _process(number: int, name: str, root: TreeNode) -> Iterator[Event]:
    names = {"process_name": name, "thread_name": AGGREGATE}
    for key, text in names.items():
        yield {"ph": "M", "name": key, "pid": number, "tid": number, "args": {"name": text}}
    for event in _events(root, 0):
        yield {**event, "cat": "hiddencost", "pid": number, "tid": number}


def _events(node: TreeNode, start_ns: int) -> Iterator[Event]:
    """Yield the begin and the end of a node, with those of the nodes inside it between them.

    Pairs, not complete events with a duration: the same end is the same number for all of them.
    """
    frame = node.frame
    args = {"calls": node.calls} if node.calls else {}
    place = {"line": f"{frame.file}:{frame.line}"} if frame.file else {}
    event = {"name": frame.name, "args": {**args, **place}}  # Speedscope matches both
    yield {"ph": "B", "ts": _us(start_ns), **event}
    inner_ns = start_ns
    for inner in node.ordered():
        yield from _events(inner, inner_ns)
        inner_ns += inner.total_ns
    yield {"ph": "E", "ts": _us(start_ns + node.total_ns), **event}


def _us(ns: int) -> float:
    return ns / 1e3
