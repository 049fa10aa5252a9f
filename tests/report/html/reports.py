"""Runs for tests of the report: made-up networks with call sites, comparisons and hostile names."""

from __future__ import annotations

import base64
import json
import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from pytest_hiddencost.core.checks import LIMIT, Check, regression
from pytest_hiddencost.core.records import (
    CallSiteCost,
    InterleavedComparison,
    MacKindCost,
    MemoryPoint,
    OperatorChange,
    Profile,
    Verdict,
)
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import DEVICE, MS, composite, operator, profile_of

LAYERS = 6
HOSTILE = "test_models.py::test_it[<script>window.hacked=1</script>\"'&\n\u202egnp.exe]"
HOSTILE_LABEL = "<img src=x onerror='window.hacked=1'> {{7*7}} @@calls@@ <calls/> " + "long " * 100
KINDS = (
    MacKindCost("conv2d 3x3", 10, 20_000_000, 4 * MS),
    MacKindCost("conv2d 1x1", 10, 10_000_000, 1 * MS),
    MacKindCost("linear", 1, 1_000_000, None),
)
CHANGES = InterleavedComparison(
    revision="main",
    commit="0123456789abcdef",
    ratio=1.08,
    interval=(1.05, 1.11),
    non_mac_ratio=1.2,
    non_mac_interval=(1.1, 1.3),
    blocks=30,
    launches=7,
    differences=("+12 aten::cat (features.3, net.py:77)", "MACs unchanged"),
    operators=(
        OperatorChange("aten::cat", 0, 12, 0.0, 1.0 * MS),
        OperatorChange("aten::native_batch_norm", 20, 20, 2.2 * MS, 2.0 * MS),
    ),
)


def sites(root: str, module: str, calls: int, ns: float) -> tuple[CallSiteCost, ...]:
    """Calls and time spread evenly over the layers, each with a line of its own."""
    return tuple(
        CallSiteCost(
            f"features.{i}.{module}", f"net.py:{10 + i}", calls // LAYERS, ns / LAYERS, root
        )
        for i in range(LAYERS)
    )


def layered(scale: float = 1.0, **changes: Any) -> Profile:
    """A network of 10 ms, times ``scale``: convolutions, batch norms, a cat, a copy inside."""
    conv, norm, inner = 6 * MS * scale, 2 * MS * scale, 0.3 * MS * scale
    operators = [
        operator(
            "aten::mkldnn_convolution", conv, 18, macs=30_000_000,
            call_sites=sites("aten::conv2d", "conv", 18, conv),
        ),
        operator(
            "aten::native_batch_norm", norm, 18,
            call_sites=sites("aten::batch_norm", "norm", 18, norm),
        ),
        operator("aten::cat", 0.8 * MS * scale, 12,
                 call_sites=(CallSiteCost("", "net.py:77", 9, 0.6 * MS * scale, "aten::cat"),)),
        operator("aten::copy_", inner, 18, call_sites=sites("aten::conv2d", "conv", 18, inner)),
        operator("aten::view", 0.01 * MS, 40, below_resolution=True),
    ]  # fmt: skip
    composites = [
        composite("aten::conv2d", 18, {"aten::mkldnn_convolution": (18, conv),
                                       "aten::copy_": (18, inner)}),
        composite("aten::batch_norm", 18, {"aten::native_batch_norm": (18, norm)}),
        composite("aten::cat", 12, {"aten::cat": (12, 0.8 * MS * scale)}),
        composite("aten::view", 40, {"aten::view": (40, 0.01 * MS)}),
    ]  # fmt: skip
    latency_ns = round(10 * MS * scale)
    memory = tuple(
        MemoryPoint(i / 40, (10 + i % 9) * 2**20, "aten::conv2d" if i % 3 else "")
        for i in range(40)
    )
    made = profile_of(
        *operators, latency_ns=latency_ns, samples_ns=noisy(latency_ns), composites=composites,
        mac_kinds=KINDS, memory=memory,
    )  # fmt: skip
    return replace(made, **changes)


def noisy(median_ns: int, count: int = 300) -> tuple[int, ...]:
    """Samples with that median, one of them four times as long as the others."""
    given = random.Random(median_ns)
    samples = [round(given.gauss(median_ns, 0.02 * median_ns)) for _ in range(count)]
    samples[count // 3] *= 4
    off = round(median(samples)) - median_ns
    return tuple(sample - off for sample in samples)


PASSES = Verdict(Check(LIMIT, "p50"), "pass", 10 * MS, 11 * MS, interval=(9.9 * MS, 10.1 * MS))
FAILS = Verdict(Check(LIMIT, "non_mac"), "fail", 0.4, 0.2, unit="share", interval=(0.35, 0.45))
OPEN = Verdict(
    regression("p50"), "inconclusive", 0.02, 0.05, "too few pairs", unit="share",
    interval=(-0.02, 0.07), remedy="measure longer",
)  # fmt: skip


def several(count: int = 8) -> RunFile:
    """A run of passing, failing, open and unjudged calls, some of them compared with a base."""
    profiles = []
    for i in range(count):
        verdicts = ((PASSES,), (PASSES, FAILS), (OPEN,), ())[i % 4]
        profiles.append(
            layered(
                1.0 + i / 4,
                test=f"tests/test_models.py::test_latency[model{i}]",
                label=f"batch {2**i}" if i % 3 == 0 and i < 30 else "",
                verdicts=verdicts,
                interleaved=CHANGES if i % 4 == 2 else None,
            )
        )
    return run_of(*profiles)


def hostile() -> RunFile:
    """A run whose texts try to be more than text."""
    profile = layered(
        test=HOSTILE,
        label=HOSTILE_LABEL,
        model="</script><script>window.hacked=1</script>",
        notes=("<b onmouseover=window.hacked=1>note</b>",),
        verdicts=(replace(OPEN, reason="</style><script>window.hacked=1</script>"),),
        interleaved=replace(CHANGES, revision="<a href='javascript:window.hacked=1'>main</a>"),
    )
    first = profile.operators[0]
    site = CallSiteCost(
        "<a href='javascript:window.hacked=1'>module</a>.</script>", "<b>%{x}</b>.py:1", 18,
        6.0 * MS, "<i>root</i>",
    )  # fmt: skip
    named = replace(first, name="<b>aten::%{y}</b>", call_sites=(site,))
    return run_of(replace(profile, operators=(named, *profile.operators[1:])))


def run_of(*profiles: Profile) -> RunFile:
    """A run of these profiles."""
    return RunFile(DEVICE, profiles, "2026-03-04T05:06:07Z", "0123456789ab with changes")


def unpacked(text: str) -> str:
    """The text that was packed."""
    return zlib.decompress(base64.b64decode(text)).decode("utf-8")


def data_of(page: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The data of the overview, and of every call, in a page."""
    (overview,) = re.findall(r'id="overview-data">([^<]*)<', page)
    (calls,) = re.findall(r'id="call-data">([^<]*)<', page)
    packed: Sequence[str] = json.loads(calls)["calls"]
    return json.loads(unpacked(overview)), [json.loads(unpacked(call)) for call in packed if call]
