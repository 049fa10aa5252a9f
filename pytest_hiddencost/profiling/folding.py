"""From the event tree of one profiled call to cells: calls, self time and children per operator.

One pass over the tree books every operator's duration to its own cell and takes it from its
parent's, which leaves self times; it also counts the events below each cell, which is what the
profiler's own cost is corrected by. A cell lies in one root (the operator that no other operator
called), at one site of the user's code, and inside or outside one kind of counted MAC calls.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from pytest_hiddencost.profiling.macs import KIND_OF_COMPOSITE, MacCall
from pytest_hiddencost.taxonomy import Taxonomy

# [calls, raw self time in ns, events right below, annotations among these]
Cell = list[int]
Cells = dict[str, Cell]  # by operator
K = TypeVar("K", bound=Hashable)


class Node(Protocol):
    """What is read of torch's ``_ProfilerEvent``.

    On the host the duration is the operator's; where kernels run on a device of their own, it is
    the time of all kernels launched by the operator and those inside it.
    """

    @property
    def name(self) -> str:
        """``aten::relu``, or what an annotation is called."""

    @property
    def duration_time_ns(self) -> int:
        """From start to end, events inside included."""

    @property
    def children(self) -> Sequence[Node]:
        """Events right below, in the order of their start."""


class Site(NamedTuple):
    """Where in the user's code an operator was called: module path and ``file.py:line``."""

    module: str
    line: str


class Root(NamedTuple):
    """A root operator at its site; ``None`` where the site is not known."""

    name: str
    site: Site | None


class Key(NamedTuple):
    """Where a cell lies; ``kind`` is that of the MAC call around it, ``is_mac``: its MAC kernel."""

    root: Root
    operator: str
    kind: str | None
    is_mac: bool


class KindCount(NamedTuple):
    """Counted calls of one kind of MACs, and their MACs."""

    calls: int
    macs: int


@dataclass(frozen=True)
class Structure:
    """What was called, and where: equal from window to window of a call that does not vary.

    ``calls``, ``children`` and ``annotations`` are those of each cell in ``keys``.
    """

    keys: tuple[Key, ...]
    calls: tuple[int, ...]
    children: tuple[int, ...]
    annotations: tuple[int, ...]
    roots: dict[Root, int]  # calls
    root_events: int  # events in no operator
    root_annotations: int  # annotations among these
    matched: int  # MAC calls found among the events
    kinds: dict[str, KindCount]
    operator_macs: dict[str, int]
    around_macs: frozenset[str]  # operators that contain a MAC call

    @property
    def events(self) -> int:
        """Every event of the call, annotations of the user's included."""
        return self.root_events + sum(self.children)

    def calls_by_root(self) -> dict[tuple[str, str], int]:
        """Calls by root and operator, whatever their site."""
        total: dict[tuple[str, str], int] = {}
        for key, calls in zip(self.keys, self.calls, strict=True):
            place = (key.root.name, key.operator)
            total[place] = total.get(place, 0) + calls
        return total


@dataclass(frozen=True)
class Window:
    """One profiled call, folded; a few bytes per cell, since windows share their structure.

    ``raw_ns``: self time of each cell, as the profiler has it. ``wall_ns``: the whole call with the
    profiler on; ``plain_ns``: the same call right before and after, without it; ``control_ns``: how
    fast the processor was meanwhile.
    """

    structure: Structure
    raw_ns: array[int]
    wall_ns: int
    plain_ns: float = 0.0
    control_ns: float = 0.0

    def cells(self) -> Iterator[tuple[Key, Cell]]:
        """Every cell with its key."""
        found = self.structure
        for key, *cell in zip(
            found.keys, found.calls, self.raw_ns, found.children, found.annotations, strict=True
        ):
            yield key, cell

    def operators(self) -> Cells:
        """Calls, self time and children per operator."""
        totals: Cells = {}
        for key, cell in self.cells():
            add(totals, key.operator, cell)
        return totals


def add(cells: dict[K, Cell], name: K, cell: Cell) -> None:
    """Add one cell's numbers to the one called ``name``."""
    total = cells.get(name)
    if total is None:
        cells[name] = list(cell)
    else:
        total[0] += cell[0]
        total[1] += cell[1]
        total[2] += cell[2]
        total[3] += cell[3]


def is_operator(name: str) -> bool:
    """Whether an event is an operator's, not an annotation, a Python frame or an allocation."""
    return "::" in name


def fold(
    nodes: Iterable[Node],
    mac_calls: Sequence[MacCall],
    wall_ns: int,
    taxonomy: Taxonomy,
    sites: Sequence[tuple[str, Site]] = (),
) -> Window:
    """Fold the event tree of one call.

    ``mac_calls`` are the counted calls in execution order; each is matched with the next operator
    of its name that lies in none matched before. ``sites`` has the root operators in their order
    with where they were called; from the first that differs on, no site is known.
    """
    return _Folder(mac_calls, wall_ns, taxonomy, sites).run(nodes)


class _Folder:
    def __init__(
        self,
        mac_calls: Sequence[MacCall],
        wall_ns: int,
        taxonomy: Taxonomy,
        sites: Sequence[tuple[str, Site]],
    ) -> None:
        self._wall_ns = wall_ns
        self._remaining = iter(mac_calls)
        self._taxonomy = taxonomy
        self._sites = iter(sites)
        self._root_calls: dict[Root, int] = {}
        self._plain: dict[Root, Cells] = {}
        self._counted: dict[Key, Cell] = {}
        self._kinds: dict[str, KindCount] = {}
        self._operator_macs: dict[str, int] = {}
        self._around_macs: set[str] = set()
        self._matched = 0
        self._names: list[str] = []  # the operators open around the one looked at
        self._root = Root("", None)
        self._expect()

    def _expect(self) -> None:
        self._call = next(self._remaining, None)
        self._expected = None if self._call is None else self._call.operator

    def run(self, nodes: Iterable[Node]) -> Window:
        outside: Cell = [0, 0, 0, 0]
        self._roots(nodes, outside)
        cells = self._counted
        for root, plain in self._plain.items():
            for name, cell in plain.items():
                cells[Key(root, name, None, False)] = cell
        structure = Structure(
            keys=tuple(cells),
            calls=tuple(cell[0] for cell in cells.values()),
            children=tuple(cell[2] for cell in cells.values()),
            annotations=tuple(cell[3] for cell in cells.values()),
            roots=self._root_calls,
            root_events=outside[2],
            root_annotations=outside[3],
            matched=self._matched,
            kinds=self._kinds,
            operator_macs=self._operator_macs,
            around_macs=frozenset(self._around_macs),
        )
        return Window(structure, array("q", (cell[1] for cell in cells.values())), self._wall_ns)

    def _roots(self, nodes: Iterable[Node], outside: Cell) -> None:
        for node in nodes:
            name = node.name
            if not is_operator(name):
                outside[2] += 1
                outside[3] += 1
                self._roots(node.children, outside)
                continue
            root = self._root = Root(name, self._site(name))
            self._root_calls[root] = self._root_calls.get(root, 0) + 1
            self._nodes([node], self._plain.setdefault(root, {}), outside)

    def _site(self, name: str) -> Site | None:
        expected = next(self._sites, None)
        if expected is None or expected[0] != name:
            self._sites = iter(())
            return None
        return expected[1]

    def _nodes(self, nodes: Sequence[Node], cells: Cells, parent: Cell) -> None:
        """Book operators; sees every event, hundreds of thousands for some models."""
        for node in nodes:
            name = node.name
            if name == self._expected:
                self._mac_call(node, parent)
                continue
            children = node.children
            if "::" not in name:  # seen through: its time is its parent's
                parent[2] += 1
                parent[3] += 1
                self._nodes(children, cells, parent)
                continue
            duration_ns = node.duration_time_ns
            parent[1] -= duration_ns
            parent[2] += 1
            cell = cells.get(name)
            if cell is None:
                cell = cells[name] = [0, 0, 0, 0]
            cell[0] += 1
            cell[1] += duration_ns
            if children:
                self._names.append(name)
                self._nodes(children, cells, cell)
                self._names.pop()

    def _mac_call(self, node: Node, parent: Cell) -> None:
        """Book one counted MAC call: everything inside it belongs to its kind."""
        call = self._call
        assert call is not None
        cells: Cells = {}
        self._expected = None  # one MAC call does not lie in another
        self._nodes([node], cells, parent)
        kind = next(
            (KIND_OF_COMPOSITE[a] for a in self._names if a in KIND_OF_COMPOSITE), call.kind
        )
        self._around_macs.update(self._names)
        self._matched += 1
        kernels = [name for name in cells if self._taxonomy.is_mac_kernel(name)]
        if not kernels:
            kernels = [self._hidden_kernel(cells)]
        total = self._kinds.get(kind, KindCount(0, 0))
        self._kinds[kind] = KindCount(total.calls + 1, total.macs + call.macs)
        # One kernel did it all, or the operator that called several answers for them.
        owner = kernels[0] if len(kernels) == 1 else call.operator
        self._operator_macs[owner] = self._operator_macs.get(owner, 0) + call.macs
        for name, cell in cells.items():
            add(self._counted, Key(self._root, name, kind, name in kernels), cell)
        self._expect()

    def _hidden_kernel(self, cells: Cells) -> str:
        """Who did the MACs where the kernel is below the profiler (oneDNN's deconvolution)."""
        wrappers = [name for name in cells if self._taxonomy.is_mac_wrapper(name)]
        return max(wrappers or cells, key=lambda name: cells[name][1])
