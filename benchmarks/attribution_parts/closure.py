"""Closure: what a profile with default settings leaves of the latency unexplained."""

from __future__ import annotations

from common import reference_models, report

from pytest_hiddencost import profile


def main() -> None:
    results = {}
    for label, model, image in reference_models():
        found = profile(model, image)
        explained_ns = sum(operator.self_ns for operator in found.operators) + found.outside_ns
        results[label] = {
            "residual": 1.0 - explained_ns / found.latency.median_ns,
            "inflation": found.profiler.inflation_share,
            "event_cost_ns": found.profiler.event_cost_ns,
            "events": found.profiler.events,
        }
    report(results)


if __name__ == "__main__":
    main()
