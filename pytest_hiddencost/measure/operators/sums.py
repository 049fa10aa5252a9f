"""Sums over the cells of windows, with the profiler's overhead taken out of each cell."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pytest_hiddencost.measure.operators.folding import CallStructure, CellKey, Root, Window
from pytest_hiddencost.measure.operators.overhead import EventCost

_Name = TypeVar("_Name", bound=Hashable)


class Scale(NamedTuple):
    """The factor that brings the cells of one root operator to its time by the clock.

    ``corrected``: the profiler's overhead is taken out of the cells first.
    """

    factor: float = 1.0
    corrected: bool = True


class Sum(NamedTuple):
    """The cells of one window that belong together, added up; ``net_ns`` is without overhead."""

    calls: int = 0
    raw_ns: int = 0
    children: int = 0
    events: int = 0
    net_ns: float = 0.0


NO_CELLS = Sum()
AS_PROFILED = Scale()


class _Part(NamedTuple):
    """The cells of a structure that belong together: their positions, and their counts added up."""

    positions: tuple[int, ...]
    factors: tuple[float, ...]
    calls: int
    children: int
    events: int
    overhead_ns: float

    def sum_in(self, window: Window) -> Sum:
        raw_ns = [window.raw_ns[position] for position in self.positions]
        scaled_ns = sum(ns * factor for ns, factor in zip(raw_ns, self.factors, strict=True))
        net_ns = scaled_ns - self.overhead_ns
        return Sum(self.calls, sum(raw_ns), self.children, self.events, net_ns)


@dataclass(frozen=True)
class Sums:
    """Adds up cells: with ``cost`` taken out, and each root operator at its scale."""

    cost: EventCost
    scales: Mapping[Root, Scale] = field(default_factory=dict)

    def by(
        self, windows: Sequence[Window], name_of: Callable[[CellKey], _Name | None]
    ) -> dict[_Name, list[Sum]]:
        """Return the sums of every window by name; a cell without a name belongs to none."""
        # Windows share their structure, so it is read once and not for every window.
        structures = {id(window.structure): window.structure for window in windows}
        parts = {key: self._parts(one, name_of) for key, one in structures.items()}
        names = dict.fromkeys(name for of_structure in parts.values() for name in of_structure)

        def sum_of(window: Window, name: _Name) -> Sum:
            part = parts[id(window.structure)].get(name)
            return NO_CELLS if part is None else part.sum_in(window)

        return {name: [sum_of(window, name) for window in windows] for name in names}

    def _parts(
        self, structure: CallStructure, name_of: Callable[[CellKey], _Name | None]
    ) -> dict[_Name, _Part]:
        positions: dict[_Name, list[int]] = {}
        for position, key in enumerate(structure.keys):
            if (name := name_of(key)) is not None:
                positions.setdefault(name, []).append(position)
        return {name: self._part(structure, found) for name, found in positions.items()}

    def _part(self, structure: CallStructure, positions: Sequence[int]) -> _Part:
        scales = [self.scales.get(structure.keys[p].root, AS_PROFILED) for p in positions]
        calls, children, annotations = (
            [count[p] for p in positions]
            for count in (structure.calls, structure.children, structure.annotations)
        )
        overheads_ns = (
            -scale.factor * self.cost.net_ns(called, 0, inside, annotated)
            for scale, called, inside, annotated in zip(
                scales, calls, children, annotations, strict=True
            )
            if scale.corrected
        )
        return _Part(
            positions=tuple(positions),
            factors=tuple(scale.factor for scale in scales),
            calls=sum(calls),
            children=sum(children),
            events=sum(calls) + sum(annotations),
            overhead_ns=sum(overheads_ns),
        )
