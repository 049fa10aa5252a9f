"""Runs to export, with names that are hard to write down."""

from __future__ import annotations

from typing import Any

from pytest_hiddencost.core.records import CallSiteCost, Profile
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import DEVICE, MS, network, operator, profile_of

CREATED, COMMIT = "2026-01-31T12:00:00Z", "0123456789ab"
HOSTILE = (
    'test_a.py::test_it[<script>alert("1")</script>]',
    "test_a.py::test_it['#1' \\ $HOME `x`]",
    "test_ü.py::test_é[line\none]\x1b[2J",
    "=1+1",
    "",
)


def run_of(*profiles: Profile, **changes: Any) -> RunFile:
    """The run file of these calls."""
    return RunFile(DEVICE, profiles, CREATED, COMMIT)


def hostile() -> RunFile:
    """A run whose test ids and labels try to break out."""
    calls = [network(test=name, label=label) for name in HOSTILE for label in ("", "b\t'\"#1")]
    return run_of(*calls)


def site(module: str, self_ns: float, line: str = "net.py:7", root: str = "") -> CallSiteCost:
    """One call site of one call."""
    return CallSiteCost(module, line, 1, self_ns, root)


def sited() -> Profile:
    """A call of 10 ms: convolutions in two modules, a copy of which 1 ms has no known site."""
    convolution = operator(
        "aten::mkldnn_convolution",
        6 * MS,
        2,
        macs=1_000_000,
        call_sites=[
            site("features.0", 4 * MS, "net.py:10", "aten::conv2d"),
            site("features.3", 2 * MS, "net.py:10", "aten::conv2d"),
        ],
    )
    relu = operator("aten::relu_", MS, call_sites=[site("", MS, "net.py:12", "aten::relu_")])
    copy = operator(
        "aten::copy_", 2 * MS, 3, call_sites=[site("features.0", MS, "net.py:10", "aten::conv2d")]
    )
    return profile_of(convolution, relu, copy, test="test_a.py::test_sited", outside_ns=0.5 * MS)
