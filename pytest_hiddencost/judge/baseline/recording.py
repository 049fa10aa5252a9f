"""Recording a baseline: several launches of each call that passed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id


class Relauncher(Protocol):
    """Measures tests again in fresh processes; ``trouble`` says why the last one left nothing."""

    trouble: str

    def launch(self, tests: Sequence[str], injection: str = "") -> Mapping[CallKey, Profile]:
        """Measure these tests in one fresh process, with an injected regression if named."""


@dataclass(frozen=True)
class Recording:
    """The numbers of entries, the changed files, and the reasons of refused calls, by key.

    ``unfit``: the reasons why times of some calls cannot be compared with; their structure can.
    """

    added: int
    rewritten: int
    dropped: int
    files: tuple[Path, ...]
    refused: Mapping[CallKey, str]
    unfit: Mapping[CallKey, str]


@dataclass(frozen=True)
class Note:
    """The time, the commit and the reason of a recording; an entry keeps them."""

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
    """Record each call of these profiles from ``launches``; drop the entries of ``drop``.

    ``own``: the profiles count as one launch, since this process measured alone; not those with an
    energy, which differs in a worker process. Raises ``BaselineError``.
    """
    measured: dict[CallKey, list[Profile]] = {p.key: [] for p in profiles}
    if own:
        _add(measured, {p.key: p for p in profiles if p.energy is None})
    refused = _relaunched(measured, relauncher, launches)
    change = {
        (*split_node_id(test), label): entry_of(found, **asdict(note))
        for (test, label), found in measured.items()
        if (test, label) not in refused
    }
    known = [baselines.entry(*key) is not None for key in change]
    dropped = {(*split_node_id(test), label): None for test, label in drop}
    files = tuple(baselines.update({**change, **dropped}))
    unfit = {
        (f"{module}::{test}", label): entry.unfit
        for (module, test, label), entry in change.items()
        if entry.unfit
    }
    return Recording(known.count(False), known.count(True), len(dropped), files, refused, unfit)


def _relaunched(
    measured: dict[CallKey, list[Profile]], relauncher: Relauncher, launches: int
) -> dict[CallKey, str]:
    """Add launches until every call has enough; return the reasons of those that have not.

    A call that a launch does not measure is given up at once.
    """
    refused: dict[CallKey, str] = {}
    while short := {
        test
        for (test, label), found in measured.items()
        if len(found) < launches and (test, label) not in refused
    }:
        launched = relauncher.launch(sorted(short))
        _add(measured, launched)
        why = relauncher.trouble or "no relaunch measured it"
        refused |= {
            key: f"{len(found)} of {launches} launches: {why}"
            for key, found in measured.items()
            if len(found) < launches and key[0] in short and key not in launched
        }
    return refused


def _add(measured: dict[CallKey, list[Profile]], found: Mapping[CallKey, Profile]) -> None:
    """Add the profiles of the calls in ``measured``."""
    for key, profile in found.items():
        if key in measured:
            measured[key].append(profile)
