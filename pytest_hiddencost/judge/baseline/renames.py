"""Renamed and moved tests: unused entries whose structure a new call has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.judge.baseline.entries import Entry, entry_of
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id


@dataclass(frozen=True)
class Rename:
    """The call of an unused entry, and the new call that it has likely become."""

    old: CallKey
    new: CallKey


@dataclass(frozen=True)
class Alike:
    """Unused entries and new calls of one structure that could be matched in several ways."""

    old: tuple[CallKey, ...]
    new: tuple[CallKey, ...]


@dataclass(frozen=True)
class Renames:
    """The likely new names of unused entries."""

    likely: tuple[Rename, ...] = ()
    ambiguous: tuple[Alike, ...] = ()


def find_renames(
    unused: Sequence[CallKey], profiles: Iterable[Profile], baselines: Baselines
) -> Renames:
    """Return the new calls among ``profiles`` that have the structure of an unused entry.

    One entry and one call of the same structure are a likely rename. Among several, a pair is
    likely if only its file changed, only its class and file, or only its function. Raises
    ``BaselineError``.
    """
    groups: dict[Hashable, tuple[list[CallKey], list[CallKey]]] = {}
    for test, label in unused:
        entry = baselines.entry(*split_node_id(test), label)
        if entry is not None:
            groups.setdefault(_structure(entry), ([], []))[0].append((test, label))
    for profile in profiles if groups else ():
        if baselines.entry(*split_node_id(profile.test), profile.label) is None:
            group = groups.get(_structure(entry_of([profile])))
            if group is not None:
                group[1].append(profile.key)
    likely: list[Rename] = []
    ambiguous = []
    for old, new in groups.values():
        likely += _matched(old, new)
        if old and new:
            ambiguous.append(Alike(tuple(old), tuple(new)))
    return Renames(tuple(sorted(likely, key=lambda found: found.old)), tuple(ambiguous))


def _structure(entry: Entry) -> Hashable:
    """Return a key that is equal for equal structures; it has no quantity that varies."""
    exact = {
        "macs": (entry.macs, tuple(sorted(entry.mac_kinds.items()))),
        "allocated_bytes": entry.allocated_bytes,
        "activation_memory": entry.activation_peak_bytes,
    }
    operators = sorted((name, found.calls_bounds) for name, found in entry.operators.items())
    return (
        tuple((key, value) for key, value in exact.items() if key not in entry.varies),
        tuple((name, calls) for name, calls in operators if calls[0] == calls[1]),
    )


def _matched(old: list[CallKey], new: list[CallKey]) -> list[Rename]:
    """Return the pairs that belong together, and take them out of both lists."""
    found = []
    for part in (_name, _leaf, _parameters):
        of_old, of_new = (_unique(calls, part) for calls in (old, new))
        found += [Rename(of_old[key], of_new[key]) for key in of_old if key in of_new]
        old[:] = [call for call in old if call not in {pair.old for pair in found}]
        new[:] = [call for call in new if call not in {pair.new for pair in found}]
    if len(old) == len(new) == 1:
        found.append(Rename(old.pop(), new.pop()))
    return found


def _unique(
    calls: Sequence[CallKey], part: Callable[[CallKey], Hashable]
) -> dict[Hashable, CallKey]:
    """Return the calls by a part of their name, without calls that share this part."""
    counts = Counter(map(part, calls))
    return {part(call): call for call in calls if part(call) is not None and counts[part(call)] < 2}


def _name(call: CallKey) -> Hashable:
    """The name of a call without its file."""
    return split_node_id(call[0])[1], call[1]


def _leaf(call: CallKey) -> Hashable:
    """The name of a call without its file and its classes."""
    name, bracket, parameters = split_node_id(call[0])[1].partition("[")
    return name.rpartition("::")[2], bracket, parameters, call[1]


def _parameters(call: CallKey) -> Hashable:
    """The parameters and the label of a call; None if it has neither."""
    parameters = split_node_id(call[0])[1].partition("[")[2]
    return (parameters, call[1]) if parameters or call[1] else None
