"""The run file: everything a run measured, as one JSON object, and the same figures for JUnit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError, SettingError
from pytest_hiddencost.core.operator_rates import DeviceKinds
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.records import Device, Profile
from pytest_hiddencost.core.timestamps import utc_now
from pytest_hiddencost.report.wording import revision_name
from pytest_hiddencost.system.replacing import is_of_kernel, replacing, resolved

FORMAT = 1


@dataclass(frozen=True)
class RunFile:
    """The contents of a run file. Time (UTC) and commit are empty if the file names none.

    ``kinds`` is the device's throughput by operator kind, in a file of ``hiddencost kinds``.
    """

    device: Device
    profiles: tuple[Profile, ...]
    created: str = ""
    commit: str = ""
    kinds: DeviceKinds | None = None


def check_writable(path: Path, option: str = "--hiddencost-json") -> None:
    """Check that a file can be written at the end of the run; ``option`` set its path.

    Raises ``SettingError``.
    """
    import tempfile

    where = f"{option}={path}" if option.startswith("--") else f"{option}: {path}"
    if path.is_dir():
        raise SettingError(f"{where}: is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise SettingError(
            f"{where}: is no regular file, and would be replaced by one; name another"
        )
    if path.exists() and is_of_kernel(path):
        raise SettingError(
            f"{where}: is a file that a process has open, and would be replaced by another; name "
            "the file itself"
        )
    folder = resolved(path).parent
    if not folder.is_dir():
        raise SettingError(f"{where}: the folder {folder} does not exist; create it first")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        if path.exists():
            with path.open("ab"):
                pass
    except OSError as error:
        why = error.strerror or error
        raise SettingError(f"{where}: cannot be written: {why}; name another path") from error


def save(
    path: Path,
    profiles: Sequence[Profile],
    device: Device,
    root: Path,
    kinds: DeviceKinds | None = None,
) -> None:
    """Write the run file in one step: readers see the old file or the whole new one.

    Raises ``OSError`` and ``ValueError``.
    """
    from pytest_hiddencost.system.git import checked_out_commit  # readers need no processes

    document = {
        "format": FORMAT,
        "created": utc_now(),
        "commit": checked_out_commit(root),
        "device": encode(device),
        "profiles": [profile.to_dict() for profile in profiles],
        "kinds": encode(kinds),
    }
    with replacing(path) as file, TextIOWrapper(file, encoding="utf-8") as text:
        json.dump(document, text, allow_nan=False)
        text.write("\n")


def load(path: Path) -> tuple[Device, list[Profile]]:
    """Return the device and the profiles of a run file. Raises ``FormatError``."""
    run = read(path)
    return run.device, list(run.profiles)


def read(path: Path) -> RunFile:
    """Return the contents of a run file. Raises ``FormatError``."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error  # an OSError names the path again
        raise FormatError(f"{path}: cannot be read as a run file: {why}") from error
    if not isinstance(document, dict) or "profiles" not in document:
        raise FormatError(f"{path}: not a run file: no 'profiles' in it")
    if document.get("format") != FORMAT:
        raise FormatError(
            f"{path}: format {document.get('format')!r}, this version reads format {FORMAT}; "
            "write it again with this version (--hiddencost-json)"
        )
    device = decode(Device, document.get("device"), f"{path}: device")
    profiles = document["profiles"]
    if not isinstance(profiles, list):
        raise FormatError(f"{path}: 'profiles': expected a list, got {profiles!r:.60}")
    found = [decode(Profile, data, f"{path}: profiles[{i}]") for i, data in enumerate(profiles)]
    data = document.get("kinds")
    kinds = None if data is None else decode(DeviceKinds, data, f"{path}: kinds")
    created = document.get("created")
    when = created if isinstance(created, str) else ""
    return RunFile(device, tuple(found), when, _commit_name(document.get("commit")), kinds)


def _commit_name(commit: object) -> str:
    """Return a commit as ``1a2b3c4d5e6f with changes``; empty if the file names none."""
    if not isinstance(commit, dict) or not isinstance(commit.get("id"), str):
        return ""
    return str(commit["id"])[:12] + (" with changes" if commit.get("dirty") is True else "")


def properties(profile: Profile) -> list[tuple[str, str]]:
    """Return a profile's figures as JUnit properties, each with its unit in the name."""
    label = printable(profile.label)  # pytest escapes the values of properties, not their names
    prefix = f"hiddencost[{label}]" if label else "hiddencost"
    figures: dict[str, object] = {
        "p50_ns": round(profile.latency.median_ns),
        "p95_ns": round(profile.latency.p95_ns),
        "p99_ns": round(profile.latency.p99_ns),
        "samples": len(profile.latency.samples_ns),
        "macs": profile.macs,
        "mac_rate": round(profile.mac_rate),
        "non_mac_share": f"{profile.non_mac_share:.4f}",
        "activation_peak_bytes": profile.activation_peak_bytes,
    }
    if profile.energy is not None:
        figures["energy_nj"] = round(profile.energy.energy_nj)
    if profile.interleaved is not None:
        figures["paired.revision"] = revision_name(profile.interleaved)
        if profile.interleaved.ratio is not None:
            figures["paired.ratio"] = f"{profile.interleaved.ratio:.4f}"
    found = [
        (f"{prefix}.{name}", str(value)) for name, value in figures.items() if value is not None
    ]
    checks = [(printable(str(v.check)), v.verdict) for v in profile.verdicts]
    return found + [(f"{prefix}.verdict.{check}", verdict) for check, verdict in checks]
