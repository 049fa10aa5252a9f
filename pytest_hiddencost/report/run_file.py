"""The run file: everything a run measured, as one JSON object, and the same figures for JUnit."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError, SettingError
from pytest_hiddencost.core.records import Device, Profile
from pytest_hiddencost.core.timestamps import utc_now
from pytest_hiddencost.report.wording import revision_name
from pytest_hiddencost.system.git import checked_out_commit

FORMAT = 1


def check_writable(path: Path, option: str = "--hiddencost-json") -> None:
    """Check that the run file can be written at the end of the run; ``option`` set its path.

    Raises ``SettingError``.
    """
    where = f"{option}={path}" if option.startswith("--") else f"{option}: {path}"
    if path.is_dir():
        raise SettingError(f"{where}: is a folder; name a file in it")
    if path.exists() and not path.is_file():
        raise SettingError(
            f"{where}: is no regular file, and would be replaced by one; name another"
        )
    if not path.parent.is_dir():
        raise SettingError(f"{where}: the folder {path.parent} does not exist; create it first")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.exists():
            with path.open("ab"):
                pass
    except OSError as error:
        why = error.strerror or error
        raise SettingError(f"{where}: cannot be written: {why}; name another path") from error


def save(path: Path, profiles: Sequence[Profile], device: Device, root: Path) -> None:
    """Write the run file in one step: readers see the old file or the whole new one.

    Raises ``OSError`` and ``ValueError``.
    """
    document = {
        "format": FORMAT,
        "created": utc_now(),
        "commit": checked_out_commit(root),
        "device": encode(device),
        "profiles": [profile.to_dict() for profile in profiles],
    }
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, allow_nan=False)
            file.write("\n")
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load(path: Path) -> tuple[Device, list[Profile]]:
    """Return the device and the profiles of a run file. Raises ``FormatError``."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: cannot be read as a run file: {error}") from error
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
    return device, [
        decode(Profile, data, f"{path}: profiles[{i}]") for i, data in enumerate(profiles)
    ]


def properties(profile: Profile) -> list[tuple[str, str]]:
    """Return a profile's figures as JUnit properties, each with its unit in the name."""
    prefix = f"hiddencost[{profile.label}]" if profile.label else "hiddencost"
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
    if profile.interleaved is not None:
        figures["paired.revision"] = revision_name(profile.interleaved)
        if profile.interleaved.ratio is not None:
            figures["paired.ratio"] = f"{profile.interleaved.ratio:.4f}"
    found = [
        (f"{prefix}.{name}", str(value)) for name, value in figures.items() if value is not None
    ]
    return found + [(f"{prefix}.verdict.{v.check}", v.verdict) for v in profile.verdicts]
