"""Pairs of worker processes stood in for: they measure what a test gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost import Profile
from pytest_hiddencost.judge.interleaved.comparison import Pair
from pytest_hiddencost.run.modes import interleaving
from pytest_hiddencost.workers.pairs import MeasuredCall
from pytest_hiddencost.workers.revisions import Base, Tree


def pair(head: Profile, base: Profile, growth: float = 0.0, non_mac: float | None = None) -> Pair:
    """One pair in which head took so much longer, as a share; non-MAC time as much, or another."""
    p50 = math.log1p(growth)
    changes = {"p50": p50, "non_mac": p50 if non_mac is None else math.log1p(non_mac)}
    return Pair(changes, 20, head=head, base=base, imported=("test_it.py", "test_it.py"))


class GivenPairs:
    """Stands in for the pairs of every base: ``measure`` gives what the next one measured.

    It has the shape of the class ``Pairs``, of an instance, and of the pairs of one call.
    """

    def __init__(self, measure: Callable[[MeasuredCall], Pair]) -> None:
        self.measure = measure
        self.asked: list[MeasuredCall] = []
        self.bases: list[Base] = []
        self.closed = False

    def __call__(self, tree: Tree, *_: object) -> PairsOfBase:
        self.bases.append(tree.base)
        return PairsOfBase(self, tree)


class PairsOfBase:
    """The pairs of one base."""

    def __init__(self, given: GivenPairs, tree: Tree) -> None:
        self.tree = tree
        self._given = given

    def of_call(self, call: MeasuredCall) -> PairsOfOneCall:
        self._given.asked.append(call)
        return PairsOfOneCall(self._given, call)

    def close(self) -> None:
        self._given.closed = True


class PairsOfOneCall:
    """The pairs of one call."""

    def __init__(self, given: GivenPairs, call: MeasuredCall) -> None:
        self._given, self._call = given, call
        self.measured = 0

    def __call__(self) -> Pair:
        found = self._given.measure(self._call)
        self.measured += 1
        return found


class NoStarter:
    """Stands in for what starts processes; ``prepared`` counts how often a template would start."""

    prepared = 0

    def __init__(self, reaper: object) -> None: ...

    def prepare(self) -> None:
        type(self).prepared += 1

    def settle(self) -> None: ...

    def close(self) -> None: ...


class NoReaper:
    """Stands in for the process that tidies up."""

    def close(self) -> None: ...


def start_nothing(monkeypatch: pytest.MonkeyPatch, pairs: GivenPairs, folder: Path) -> None:
    """Let a run take these pairs; it starts no process, and checks nothing out."""

    def materialised(base: Base, *_: Any) -> Tree:
        return Tree(base, folder)

    NoStarter.prepared = 0
    monkeypatch.setattr(interleaving, "Pairs", pairs)
    monkeypatch.setattr(interleaving, "Starter", NoStarter)
    monkeypatch.setattr(interleaving, "Reaper", NoReaper)
    monkeypatch.setattr(interleaving, "materialised", materialised)
    monkeypatch.setattr(interleaving, "lock_file", lambda: folder / "lock")
