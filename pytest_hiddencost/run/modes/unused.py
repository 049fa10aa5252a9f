"""The end of a run with baselines: unused entries, and the tests that they were renamed to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.records import CallKey, call_name
from pytest_hiddencost.judge.baseline.renames import Alike, Rename, Renames
from pytest_hiddencost.judge.baseline.store import Baselines, RecordedCall, split_node_id
from pytest_hiddencost.run.modes.base import Color, Line

MOST_LISTED = 8


def carried_over(baselines: Baselines, renames: Sequence[Rename]) -> list[Line]:
    """Move the entries of renamed calls; return the summary's lines. Raises ``BaselineError``."""
    if not renames:
        return [Line("renamed: no unused baseline entry has a new name", "green")]
    files = baselines.move([(_call(rename.old), _call(rename.new)) for rename in renames])
    devices = {baselines.device_of(file) for file in files}
    several = f" on {len(devices)} devices" if len(devices) > 1 else ""
    entries = "entry" if len(renames) == 1 else "entries"
    text = f"renamed: {len(renames)} baseline {entries} carried over{several}: {_listed(renames)}"
    return [Line(f"{text}; commit the baseline files with the tests", "green")]


def above_line(own: Path, above: Path) -> Line:
    """Return the line on a folder of baselines above the rootdir of a run that has none."""
    text = (
        f"there is no {own}, and {above} is not read, since the rootdir is {own.parent}: run with "
        f"--rootdir={above.parent}, or --hiddencost-baseline-dir={above} if its entries have the "
        "test ids of this run"
    )
    return Line(text, "yellow")


def unused_lines(
    unused: Sequence[CallKey], renames: Renames, *, strict: bool, recorded: bool
) -> list[Line]:
    """Return the lines on unused entries, and on the likely new names of their calls.

    ``recorded``: the new calls of this run were recorded.
    """
    if not unused:
        return []
    names = _names(unused)
    entries = "entry" if len(unused) == 1 else "entries"
    drop = "drop with --hiddencost-update"
    if renames.likely or renames.ambiguous:
        drop = "drop with --hiddencost-update, unless renamed"
    color: Color = "red" if strict else "yellow"
    text = f"{len(unused)} unused baseline {entries}: {names}; {drop}"
    lines = [Line(text, color, unused=len(unused))]
    if renames.likely:
        remedy = "carry the accepted times over with --hiddencost-rename"
        if recorded:
            remedy = (
                "the new names were recorded anew; to keep the accepted times, restore the "
                "baseline files and run with --hiddencost-rename"
            )
        text = f"likely renamed (same structure): {_listed(renames.likely)}; {remedy}"
        lines.append(Line(text, color, detail=True))
    return lines + [_ambiguous_line(alike, color) for alike in renames.ambiguous]


def _ambiguous_line(alike: Alike, color: Color) -> Line:
    old, new = map(_names, (alike.old, alike.new))
    text = (
        f"renamed, but the new name is ambiguous: {old} (unused) and {new} (new) have the same "
        "structure; nothing is carried over: rename the entry in the baseline file by hand, or "
        "record again (--hiddencost-update)"
    )
    return Line(text, color, detail=True)


def _names(calls: Sequence[CallKey]) -> str:
    return listed([call_name(*call) for call in calls], MOST_LISTED)


def _listed(renames: Sequence[Rename]) -> str:
    pairs = [f"{call_name(*rename.old)} -> {call_name(*rename.new)}" for rename in renames]
    return listed(pairs, MOST_LISTED)


def _call(key: CallKey) -> RecordedCall:
    return (*split_node_id(key[0]), key[1])
