"""Chrome traces: events that nest, with the times of the call."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from pytest_hiddencost.report.exports.chrome_trace import chrome_trace_json
from pytest_hiddencost.report.run_file import RunFile
from tests.report.exports.runs import hostile, run_of, sited

Durations = dict[tuple[int, str], float]


def exported(run: RunFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chrome_trace_json(run))
    assert found["displayTimeUnit"] in ("ms", "ns")
    return found


def durations(events: list[dict[str, Any]]) -> Durations:
    """The time of each name in us, by process; begin and end must nest, and time never go back."""
    found: Durations = defaultdict(float)
    open_events: dict[int, list[dict[str, Any]]] = defaultdict(list)
    now: dict[int, float] = defaultdict(float)
    for event in events:
        pid = event["pid"]
        assert event["tid"] == pid
        if event["ph"] == "M":
            continue
        assert event["ts"] >= now[pid]
        now[pid] = event["ts"]
        if event["ph"] == "B":
            open_events[pid].append(event)
        else:
            assert event["ph"] == "E"
            begun = open_events[pid].pop()
            assert (begun["name"], begun["args"]) == (event["name"], event["args"])
            found[pid, event["name"]] += event["ts"] - begun["ts"]
    assert not any(open_events.values())
    return found


def test_times_are_those_of_the_call_in_us() -> None:
    found = durations(exported(run_of(sited()))["traceEvents"])
    assert found[1, "test_a.py::test_sited"] == pytest.approx(10_000)
    assert found[1, "aten::conv2d"] == pytest.approx(7_000)
    assert found[1, "features.3"] == pytest.approx(2_000)


def test_a_process_for_each_call() -> None:
    run = hostile()
    events = exported(run)["traceEvents"]
    names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    assert list(names) == list(range(1, len(run.profiles) + 1))
    assert len(set(names.values())) == len(run.profiles)


def test_an_operator_tells_its_calls_and_its_line() -> None:
    events = exported(run_of(sited()))["traceEvents"]
    arguments = {e["name"]: e["args"] for e in events if e["ph"] == "B"}
    assert arguments["aten::relu_"] == {"calls": 1, "line": "net.py:12"}


def test_the_file_says_that_it_adds_up() -> None:
    found = exported(run_of(sited()))
    assert found["otherData"]["note"] == "aggregate of a call, not a timeline: largest part first"
    threads = [e["args"]["name"] for e in found["traceEvents"] if e["name"] == "thread_name"]
    assert threads == ["aggregate of a call, not a timeline"]
