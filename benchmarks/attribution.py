"""Whether time is attributed to the operators that took it: truth, us, raw torch.profiler.

Truth comes from measurements without any profiler: a clock around each convolution, operators in
a C++ loop, the growth of the plain latency when operators are added. What is compared is measured
in turns in one process; everything is repeated in fresh processes, and the tables give the median
over the processes with the least and the largest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from tabulate import tabulate

HERE = Path(__file__).parent
PARTS = ("convolutions", "operators", "ablation", "closure")


def measured(part: str, processes: int, arguments: list[str]) -> list[Any]:
    """What each of so many fresh processes measured."""
    results = []
    program = HERE / "attribution_parts" / f"{part}.py"
    for number in range(processes):
        print(f"{part}: process {number + 1} of {processes}", file=sys.stderr, flush=True)
        command = [sys.executable, "-W", "ignore", str(program), *arguments]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    return results


def spread(values: Iterable[float], form: str = "{:+.1f}") -> str:
    """Median, and the least and largest in brackets."""
    found = sorted(values)
    middle, low, high = (form.format(v) for v in (median(found), found[0], found[-1]))
    return f"{middle} ({low} to {high})"


def convolutions(runs: list[dict[str, Any]]) -> str:
    rows = []
    for model in runs[0]:
        entries = [run[model] for run in runs]
        rows.append(
            [
                model,
                f"{median(e['clock_ms'] for e in entries):.3g}",
                spread(e["ours_sum_error"] for e in entries),
                spread((e["ours_median_error"] for e in entries), "{:.1f}"),
                spread(e["raw_sum_error"] for e in entries),
                spread((e["raw_median_error"] for e in entries), "{:.1f}"),
            ]
        )
    rows.append(_worst(runs))
    return table(
        rows,
        [
            "model", "clock, ms", "ours, sum, %", "ours, module, %", "raw, sum, %",
            "raw, module, %",
        ],
    )  # fmt: skip


def _worst(runs: list[dict[str, Any]]) -> list[str]:
    def worst(key: str) -> float:
        return max(abs(median(float(run[model][key]) for run in runs)) for model in runs[0])

    cells = [
        f"{worst(key):.1f}"
        for key in ("ours_sum_error", "ours_median_error", "raw_sum_error", "raw_median_error")
    ]
    return ["largest median", "", *cells]


def operators(runs: list[dict[str, Any]]) -> str:
    rows = []
    for name in runs[0]:
        entries = [run[name] for run in runs]
        truth = median(e["loop_ns"] for e in entries)
        ours = median(e["ours_ns"] for e in entries)
        allowed = max(100.0, 0.25 * truth)
        rows.append(
            [
                name,
                spread((e["loop_ns"] for e in entries), "{:.0f}"),
                spread((e["ours_ns"] for e in entries), "{:.0f}"),
                spread((e["raw_ns"] for e in entries), "{:.0f}"),
                f"{median(e['ours_ns'] - e['loop_ns'] for e in entries):+.0f}",
                f"{allowed:.0f}",
                "yes" if abs(ours - truth) <= allowed else "NO",
            ]
        )
    return table(
        rows, ["operator", "C++ loop, ns", "ours, ns", "raw, ns", "ours - loop", "allowed", "met"]
    )


def ablation(runs: list[dict[str, Any]]) -> str:
    rows = []
    for name in runs[0]:
        entries = [run[name] for run in runs]
        rows.append(
            [
                name,
                spread((e["effect_share"] * 100 for e in entries), "{:.1f}"),
                f"{median(e['grown_us'] for e in entries):.0f}",
                f"{median(e['ours_us'] for e in entries):.0f}",
                spread(100 * (e["ours_us"] / e["grown_us"] - 1) for e in entries),
                spread(100 * (e["raw_us"] / e["grown_us"] - 1) for e in entries),
            ]
        )
    return table(
        rows,
        ["added to", "effect, % of latency", "latency grew, us", "ours, us", "ours, %", "raw, %"],
    )


def closure(runs: list[dict[str, Any]]) -> str:
    rows = [
        [
            model,
            spread((abs(run[model]["residual"]) * 100 for run in runs), "{:.2f}"),
            spread((run[model]["inflation"] * 100 for run in runs), "{:.0f}"),
            spread((run[model]["event_cost_ns"] for run in runs), "{:.0f}"),
            f"{runs[0][model]['events']}",
        ]
        for model in runs[0]
    ]
    return table(
        rows, ["model", "residual, %", "profiled / plain - 1, %", "event cost, ns", "events"]
    )


def table(rows: list[list[str]], headers: list[str]) -> str:
    align = ("left",) + ("right",) * (len(headers) - 1)
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument(
        "--models",
        default="",
        help="names, separated by commas (ablation: part of a row's name); default all",
    )
    options = parser.parse_args()
    printers: dict[str, Callable[[list[dict[str, Any]]], str]] = {
        "convolutions": convolutions,
        "operators": operators,
        "ablation": ablation,
        "closure": closure,
    }
    for part in options.parts or PARTS:
        runs = measured(part, options.processes, [options.models] if options.models else [])
        print(f"\n### {part}, {options.processes} processes\n\n{printers[part](runs)}", flush=True)


if __name__ == "__main__":
    main()
