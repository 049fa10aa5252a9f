"""The rows of one run; nothing personal is in them: no user, no folder, no host unless asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, TypeAlias

from pytest_hiddencost import __version__
from pytest_hiddencost.core.energy_records import EnergyUse
from pytest_hiddencost.core.model_names import LIBRARIES
from pytest_hiddencost.core.records import Device, OperatorCost, Profile
from pytest_hiddencost.history.store_tables import (
    OPERATORS_TABLE,
    PROFILES_TABLE,
    RUNS,
    STORE_SCHEMA,
)
from pytest_hiddencost.options import MODELS, model_of
from pytest_hiddencost.report.terminal import verdict_of

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """The end of a run (UTC), its code, and the host's name if it was asked for."""

    time: datetime
    commit: str = ""
    branch: str = ""
    dirty: bool = False
    host: str = ""


def branch_of_ci(environment: Mapping[str, str]) -> str:
    """Return the branch that CI names; CI checks out a commit, without a branch."""
    names = (
        "GITHUB_HEAD_REF",  # of a pull request; else GITHUB_REF_NAME
        "GITHUB_REF_NAME",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
        "CI_COMMIT_REF_NAME",
        "BUILDKITE_BRANCH",
        "CIRCLE_BRANCH",
        "BRANCH_NAME",
    )
    return next((environment[name] for name in names if environment.get(name)), "")


def table_rows(
    run_id: str, facts: RunFacts, device: Device, profiles: Sequence[Profile], part: str
) -> dict[str, list[Row]]:
    """Return the rows that a run adds to each table, with ``part`` as the name of the file."""
    shared = {"run_id": run_id, "time": facts.time, "device": device.key, "part": part}
    calls = [(_call(profile), profile) for profile in profiles]
    return {
        OPERATORS_TABLE: [
            {**shared, **call, **_operator(operator)}
            for call, profile in calls
            for operator in profile.operators
        ],
        PROFILES_TABLE: [{**shared, **call, **_profile(profile)} for call, profile in calls],
        RUNS: [{**shared, **_run(facts, device, profiles)}],
    }


def _run(facts: RunFacts, device: Device, profiles: Sequence[Profile]) -> Row:
    reasons = dict.fromkeys(reason for p in profiles for reason in p.health.reasons)
    return {
        "schema": STORE_SCHEMA,
        "commit": facts.commit,
        "branch": facts.branch,
        "dirty": facts.dirty,
        "torch": device.torch,
        "version": __version__,
        "model": device.model,
        "kind": device.kind,
        "cores": device.cores,
        "threads": device.threads,
        "arch": device.arch,
        "os": device.os,
        "python": device.python,
        "fit": all(profile.health.fit for profile in profiles),
        "health": "; ".join(reasons),
        "host": facts.host or None,
        "profiles": len(profiles),
    }


def _call(profile: Profile) -> Row:
    return {"test": _without_folders(profile.test), "label": profile.label}


def _without_folders(test: str) -> str:
    """Return a test's id; a file outside pytest's root folder loses its folders."""
    if (model := model_of(test)) is not None:
        prefix, colon, name = model.partition(":")
        if prefix in LIBRARIES:
            return f"{MODELS}::{prefix}{colon}{_last_if_absolute(name)}"
        return f"{MODELS}::{_last_if_absolute(model)}"
    path, colons, rest = test.partition("::")
    return f"{_last_if_absolute(path)}{colons}{rest}"


def _last_if_absolute(path: str) -> str:
    """Return the last component of an absolute path of POSIX or Windows; other texts unchanged."""
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()
    return PureWindowsPath(path).name if absolute else path


def _profile(profile: Profile) -> Row:
    latency, reference = profile.latency, profile.reference
    low, high = latency.median_ci_ns or (None, None)
    return {
        "call_model": profile.model,
        "p50_ns": latency.median_ns,
        "p95_ns": latency.p95_ns,
        "p99_ns": latency.p99_ns,
        "p50_low_ns": low,
        "p50_high_ns": high,
        "confidence": latency.confidence,
        "relative": reference.relative or None,
        "reference_version": reference.version if reference.relative else None,
        "non_mac_ns": latency.median_ns - profile.mac_ns,
        "mac_ns": profile.mac_ns,
        "macs": profile.macs,
        "peak_bytes": profile.activation_peak_bytes,
        **_energy(profile.energy),
        "verdict": verdict_of(profile) or "",
        "fit": profile.health.fit,
        "health": "; ".join(profile.health.reasons),
        "samples": list(latency.samples_ns),
    }


def _energy(use: EnergyUse | None) -> Row:
    """Return the columns on energy; they are missing values if it was not measured."""
    if use is None:
        return {}
    low_nj, high_nj = use.interval_nj or (None, None)
    return {
        "energy_nj": use.energy_nj,
        "energy_low_nj": low_nj,
        "energy_high_nj": high_nj,
        "idle_w": use.idle_w,
        "energy_meter": use.meter,
    }


def _operator(operator: OperatorCost) -> Row:
    return {
        "name": operator.name,
        "group": operator.group,
        "calls": operator.calls,
        "self_ns": operator.self_ns,
        "mac_share": operator.mac_share,
    }
