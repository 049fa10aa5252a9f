"""Recording a baseline: several launches of what passed, and what of the old one is unused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.records import Profile
from pytest_hiddencost.regression.baselines import Baselines, split_node_id
from pytest_hiddencost.regression.entries import entry_of
from pytest_hiddencost.regression.replicas import Key, Replicas

SPARE_LAUNCHES = 2  # beyond those asked for, in place of launches that were disturbed


@dataclass(frozen=True)
class Recording:
    """What an update did: counts and files, and what it could not do (``refused``: why, by key)."""

    added: int
    rewritten: int
    dropped: int
    files: tuple[Path, ...]
    refused: Mapping[Key, str]


@dataclass(frozen=True)
class Note:
    """What an entry keeps of its recording."""

    created: str
    commit: str
    reason: str


def record(
    profiles: Sequence[Profile],
    baselines: Baselines,
    replicas: Replicas,
    launches: int,
    note: Note,
    *,
    own: bool,
    drop: Iterable[Key] = (),
) -> Recording:
    """Record these profiles' calls, from so many launches each; drop the entries of ``drop``.

    ``own``: this process counts as a launch, since it measured alone. Raises ``BaselineError``.
    """
    measured: dict[Key, list[Profile]] = {(p.test, p.label): [] for p in profiles}
    refused: dict[Key, str] = {}
    if own:
        for profile in profiles:
            if profile.fitness.fit:
                measured[profile.test, profile.label].append(profile)
    for _ in range(launches + SPARE_LAUNCHES):
        short = [key for key, found in measured.items() if len(found) < launches]
        if not short:
            break
        for key, profile in replicas.launch(sorted({test for test, _ in short})).items():
            if key not in measured:
                continue
            if profile.fitness.fit:
                measured[key].append(profile)
            else:
                refused[key] = "; ".join(profile.fitness.reasons)
    change = {}
    for key, found in measured.items():
        if len(found) >= launches:
            refused.pop(key, None)
            module, test = split_node_id(key[0])
            change[module, test, key[1]] = entry_of(
                found[:launches], created=note.created, commit=note.commit, reason=note.reason
            )
        else:
            why = refused.get(key) or replicas.trouble or "it was not measured in fresh launches"
            refused[key] = f"{len(found)} of {launches} launches: {why}"
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


@dataclass(frozen=True)
class Coverage:
    """Which tests a run could have measured, so that an entry it did not use is one without a test.

    ``collected``: every node id found, deselected ones included. ``measured``: keys of calls, of
    the tests in ``passed``. ``whole``: modules collected in full; None: nothing can be said.
    """

    collected: frozenset[str]
    measured: frozenset[Key]
    passed: frozenset[str]
    whole: tuple[Path, ...] | None
    root: Path

    def unused(self, baselines: Baselines) -> list[Key]:
        """Entries whose test is gone, or passed without that call."""
        if self.whole is None:
            return []
        found = []
        for module in baselines.modules():
            in_full = self._in_full(module)
            for test, label in baselines.entries(module):
                node_id = f"{module}::{test}"
                gone = in_full and node_id not in self.collected
                silent = node_id in self.passed and (node_id, label) not in self.measured
                if gone or silent:
                    found.append((node_id, label))
        return sorted(found)

    def _in_full(self, module: str) -> bool:
        path = (self.root / module).resolve()
        return any(path == place or place in path.parents for place in self.whole or ())
