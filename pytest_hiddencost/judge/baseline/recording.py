"""Recording a baseline: several launches of what passed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id

SPARE_LAUNCHES = 2  # beyond those asked for, in place of launches that were disturbed


class Relauncher(Protocol):
    """Measures tests again in fresh processes; ``trouble`` says why the last one left nothing."""

    trouble: str

    def launch(self, tests: Sequence[str], injection: str = "") -> Mapping[CallKey, Profile]:
        """Measure these tests in one fresh process, with an injected regression if named."""


@dataclass(frozen=True)
class Recording:
    """Counts of entries and files, and why some calls were refused, by key."""

    added: int
    rewritten: int
    dropped: int
    files: tuple[Path, ...]
    refused: Mapping[CallKey, str]


@dataclass(frozen=True)
class Note:
    """What an entry keeps of its recording: when, at which commit, and why."""

    created: str
    commit: str
    reason: str


def record(
    profiles: Sequence[Profile],
    baselines: Baselines,
    relauncher: Relauncher,
    launches: int,
    note: Note,
    *,
    own: bool,
    drop: Iterable[CallKey] = (),
) -> Recording:
    """Record these profiles' calls, from so many launches each; drop the entries of ``drop``.

    ``own``: this process counts as a launch, since it measured alone. Raises ``BaselineError``.
    """
    measured: dict[CallKey, list[Profile]] = {(p.test, p.label): [] for p in profiles}
    for profile in profiles if own else ():
        if profile.health.fit:
            measured[profile.test, profile.label].append(profile)
    disturbed = _relaunched(measured, relauncher, launches)
    change: dict[tuple[str, str, str], Entry] = {}
    refused: dict[CallKey, str] = {}
    for (test, label), found in measured.items():
        if len(found) >= launches:
            module, name = split_node_id(test)
            change[module, name, label] = entry_of(
                found[:launches], created=note.created, commit=note.commit, reason=note.reason
            )
        else:
            why = disturbed.get((test, label)) or relauncher.trouble or "no relaunch measured it"
            refused[test, label] = f"{len(found)} of {launches} launches: {why}"
    known = [baselines.entry(*place) is not None for place in change]
    dropped = {(*split_node_id(test), label): None for test, label in drop}
    files = baselines.update({**change, **dropped})
    return Recording(
        added=known.count(False),
        rewritten=known.count(True),
        dropped=len(dropped),
        files=tuple(files),
        refused=refused,
    )


def _relaunched(
    measured: dict[CallKey, list[Profile]], relauncher: Relauncher, launches: int
) -> dict[CallKey, str]:
    """Add launches until every call has enough; return why some were left out, by key."""
    disturbed: dict[CallKey, str] = {}
    for _ in range(launches + SPARE_LAUNCHES):
        short = [key for key, found in measured.items() if len(found) < launches]
        if not short:
            break
        for key, profile in relauncher.launch(sorted({test for test, _ in short})).items():
            if key not in measured:
                continue
            if profile.health.fit:
                measured[key].append(profile)
            else:
                disturbed[key] = "; ".join((*profile.health.reasons, *profile.health.remedies))
    return disturbed
