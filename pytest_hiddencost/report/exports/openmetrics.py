"""OpenMetrics text of a run, for GitLab's metrics reports and for Prometheus.

Source: https://prometheus.io/docs/specs/om/open_metrics_spec. GitLab reads a line as a shell
splits it, and drops what follows a ``#``: so none is in a label.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TypeGuard

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.core.units import Kind
from pytest_hiddencost.report.exports.call_quantities import CALL_QUANTITIES
from pytest_hiddencost.report.run_file import RunFile

# Suffix of the name, the unit it states, and the factor to it.
_UNITS: dict[Kind, tuple[str, str, float]] = {
    "duration": ("_seconds", "seconds", 1e-9),
    "share": ("", "", 1.0),
    "macs": ("", "", 1),
    "mac_rate": ("", "", 1),
    "calls": ("", "", 1),
    "bytes": ("_bytes", "bytes", 1),
    "energy": ("_joules", "joules", 1e-9),
}
_NAMES = {"calls": "operator_calls", "mac_rate": "macs_per_second", "allocated_bytes": "allocated"}
_CHECKS = {"failed_checks": FAIL, "inconclusive_checks": INCONCLUSIVE}

Labels = Mapping[str, str]


def openmetrics_text(run: RunFile) -> str:
    """Return the run as OpenMetrics: a gauge for each quantity, a sample for each call."""
    lines = list(_device(run))
    calls = _by_labels(run)
    for quantity in CALL_QUANTITIES:
        suffix, unit, factor = _UNITS[quantity.kind]
        name = f"hiddencost_{_NAMES.get(quantity.key, quantity.key)}{suffix}"
        values = {labels: quantity.of(profile) for labels, profile in calls.items()}
        known = {labels: v * factor for labels, v in values.items() if _known(v)}
        lines += _family(name, quantity.meaning, known, unit)
    for key, outcome in _CHECKS.items():
        counts = {
            labels: sum(verdict.verdict == outcome for verdict in profile.verdicts)
            for labels, profile in calls.items()
        }
        meaning = f"Checks of a call that are {outcome}."
        lines += _family(f"hiddencost_{key}", meaning, counts)
    return "\n".join([*lines, "# EOF", ""])


def _by_labels(run: RunFile) -> dict[str, Profile]:
    """Return the calls by their labels as text; a call that is there twice counts once."""
    return {
        _labels({"test": profile.test, "label": profile.label}): profile for profile in run.profiles
    }


def _device(run: RunFile) -> Iterator[str]:
    device = run.device
    labels = {
        "key": device.key, "kind": device.kind, "model": device.model, "arch": device.arch,
        "threads": str(device.threads), "python": device.python, "torch": device.torch,
    }  # fmt: skip
    yield "# TYPE hiddencost_device info"
    yield "# HELP hiddencost_device Device that the run was measured on."
    yield f"hiddencost_device_info{_labels(labels)} 1"


def _family(name: str, meaning: str, samples: Mapping[str, float], unit: str = "") -> Iterator[str]:
    if not samples:
        return
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {meaning}"
    yield from (f"{name}{labels} {_number(value)}" for labels, value in samples.items())


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _labels(labels: Labels) -> str:
    found = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items() if text)
    return f"{{{found}}}" if found else ""


def _escaped(text: str) -> str:
    lines = (printable(line).replace("\\", r"\\") for line in text.split("\n"))
    return r"\n".join(lines).replace('"', r"\"").replace("#", "%23")


def _number(value: float) -> str:
    """Return a number without an exponent: GitLab shows it as it stands."""
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return f"{value:.9f}".rstrip("0").rstrip(".")
