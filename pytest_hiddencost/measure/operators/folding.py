"""Folds the event tree of one profiled call into cells: calls, self time, children per operator.

One pass over the tree adds every operator's duration to its own cell and subtracts it from its
parent's cell, which leaves self times. The pass also counts the child events of each cell, from
which the profiler overhead is computed. A cell belongs to one root operator, one call
site, and at most one kind of counted MAC calls. No other operator calls a root operator.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from pytest_hiddencost.core.fused_kernels import is_fused_kernel
from pytest_hiddencost.core.taxonomy import Taxonomy
from pytest_hiddencost.measure.macs.counting import KIND_OF_COMPOSITE, MacCall
from pytest_hiddencost.measure.operators.device_timeline import DeviceTimeline

Cell = list[int]
"""Calls, raw self time in ns, direct child events, and annotations among these events."""

Cells = dict[str, Cell]
"""Cells by operator."""

_Name = TypeVar("_Name", bound=Hashable)


class Node(Protocol):
    """The part of torch's ``_ProfilerEvent`` that folding reads.

    On the host, the duration is the operator's. On an accelerator, it is the time of all kernels
    that the operator and the operators inside it launched.
    """

    @property
    def name(self) -> str:
        """``aten::relu``, or the text of an annotation."""

    @property
    def duration_time_ns(self) -> int:
        """Time from start to end in ns, child events included."""

    @property
    def children(self) -> Sequence[Node]:
        """Direct child events, in the order of their start."""


class CallSite(NamedTuple):
    """The module path and the line (``file.py:12``) that an operator was called from."""

    module: str
    line: str


class Root(NamedTuple):
    """A root operator and its call site; ``None`` if the call site is not known."""

    name: str
    call_site: CallSite | None


class CellKey(NamedTuple):
    """The key of a cell."""

    root: Root
    operator: str
    kind: str | None  # of the counted MAC call around the operator; None without one
    is_mac: bool  # whether the operator is the MAC kernel of this call


class KindCount(NamedTuple):
    """The number of counted calls of one MAC kind, and their MACs."""

    calls: int
    macs: int


@dataclass(frozen=True)
class CallStructure:
    """The calls of a window, without their times: equal in all windows of a call that is steady."""

    keys: tuple[CellKey, ...]  # of the cells; the next three have one number for each
    calls: tuple[int, ...]
    children: tuple[int, ...]
    annotations: tuple[int, ...]
    roots: dict[Root, int]  # number of calls
    root_events: int  # events outside operators
    root_annotations: int  # annotations among the root events
    matched: int  # counted MAC calls that were found among the events
    kinds: dict[str, KindCount]
    operator_macs: dict[str, int]
    around_macs: frozenset[str]  # operators that contain a MAC call

    @property
    def events(self) -> int:
        """Number of all events of the call, the user's annotations included."""
        return self.root_events + sum(self.children)

    def calls_by_root(self) -> dict[tuple[str, str], int]:
        """Return the number of calls by root operator and operator, call sites taken together."""
        totals = Counter[tuple[str, str]]()
        for key, calls in zip(self.keys, self.calls, strict=True):
            totals[key.root.name, key.operator] += calls
        return dict(totals)


@dataclass(frozen=True)
class Window:
    """One profiled call, folded. Windows share their structure, so a cell takes a few bytes."""

    structure: CallStructure
    raw_ns: array[int]  # self time of each cell, as profiled
    wall_ns: int  # of the whole call with the profiler on
    plain_ns: float = 0.0  # of the calls before and after it without the profiler
    probe_ns: float = 0.0  # of the speed probe (overhead.probe_ns)
    timeline: DeviceTimeline | None = None  # of the accelerator, with the profiler on

    def cells(self) -> Iterator[tuple[CellKey, Cell]]:
        """Yield every cell with its key."""
        found = self.structure
        for key, *cell in zip(
            found.keys, found.calls, self.raw_ns, found.children, found.annotations, strict=True
        ):
            yield key, cell

    def operators(self) -> Cells:
        """Return the cells of each operator added up."""
        totals: Cells = {}
        for key, cell in self.cells():
            add(totals, key.operator, cell)
        return totals


def add(cells: dict[_Name, Cell], name: _Name, cell: Cell) -> None:
    """Add the numbers of ``cell`` to the cell ``name``, in place."""
    total = cells.get(name)
    if total is None:
        cells[name] = list(cell)
    else:
        total[0] += cell[0]
        total[1] += cell[1]
        total[2] += cell[2]
        total[3] += cell[3]


def is_operator(name: str) -> bool:
    """Return whether an event is an operator, not an annotation, Python frame or allocation.

    Kernels that torch.compile generates count as operators.
    """
    return "::" in name or is_fused_kernel(name)


def fold(
    nodes: Iterable[Node],
    mac_calls: Sequence[MacCall],
    wall_ns: int,
    taxonomy: Taxonomy,
    call_sites: Sequence[tuple[str, CallSite]] = (),
) -> Window:
    """Fold the event tree of one call of ``wall_ns``.

    ``mac_calls`` are the counted MAC calls in execution order. Each is matched with the next
    operator of its name that is not inside a matched one. ``call_sites`` are the root operators in
    execution order, with their call sites. From the first operator that differs, no call site is
    known.
    """
    return _Folder(mac_calls, taxonomy, call_sites).run(nodes, wall_ns)


class _Folder:
    def __init__(
        self,
        mac_calls: Sequence[MacCall],
        taxonomy: Taxonomy,
        call_sites: Sequence[tuple[str, CallSite]],
    ) -> None:
        self._remaining = iter(mac_calls)
        self._taxonomy = taxonomy
        self._call_sites = iter(call_sites)
        self._root_calls = Counter[Root]()
        self._plain: dict[Root, Cells] = {}
        self._counted: dict[CellKey, Cell] = {}
        self._kinds: dict[str, KindCount] = {}
        self._operator_macs = Counter[str]()
        self._around_macs: set[str] = set()
        self._matched = 0
        self._names: list[str] = []  # operators around the current node, outermost first
        self._root = Root("", None)
        self._expect()

    def _expect(self) -> None:
        self._call = next(self._remaining, None)
        self._expected = None if self._call is None else self._call.operator

    def run(self, nodes: Iterable[Node], wall_ns: int) -> Window:
        outside: Cell = [0, 0, 0, 0]
        self._roots(nodes, outside)
        cells = self._counted
        for root, plain in self._plain.items():
            for name, cell in plain.items():
                cells[CellKey(root, name, None, False)] = cell
        structure = CallStructure(
            keys=tuple(cells),
            calls=tuple(cell[0] for cell in cells.values()),
            children=tuple(cell[2] for cell in cells.values()),
            annotations=tuple(cell[3] for cell in cells.values()),
            roots=dict(self._root_calls),
            root_events=outside[2],
            root_annotations=outside[3],
            matched=self._matched,
            kinds=self._kinds,
            operator_macs=dict(self._operator_macs),
            around_macs=frozenset(self._around_macs),
        )
        return Window(structure, array("q", (cell[1] for cell in cells.values())), wall_ns)

    def _roots(self, nodes: Iterable[Node], outside: Cell) -> None:
        for node in nodes:
            name = node.name
            if not is_operator(name):
                outside[2] += 1
                outside[3] += 1
                self._roots(node.children, outside)
                continue
            root = self._root = Root(name, self._call_site(name))
            self._root_calls[root] += 1
            self._nodes([node], self._plain.setdefault(root, {}), outside)

    def _call_site(self, name: str) -> CallSite | None:
        expected = next(self._call_sites, None)
        if expected is None or expected[0] != name:
            self._call_sites = iter(())
            return None
        return expected[1]

    def _nodes(self, nodes: Sequence[Node], cells: Cells, parent: Cell) -> None:
        """Add nodes to ``cells``; this loop sees hundreds of thousands of events in some models."""
        for node in nodes:
            name = node.name
            if name == self._expected:
                self._mac_call(node, parent)
                continue
            children = node.children
            if "::" not in name and not is_fused_kernel(name):
                # An annotation: its time belongs to its parent.
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
        """Add one counted MAC call; everything inside it belongs to its kind."""
        call = self._call
        assert call is not None
        cells: Cells = {}
        self._expected = None  # one MAC call does not lie in another
        self._nodes([node], cells, parent)
        kind = next(filter(None, map(KIND_OF_COMPOSITE.get, self._names)), call.kind)
        self._around_macs.update(self._names)
        self._matched += 1
        kernels = list(filter(self._taxonomy.is_mac_kernel, cells)) or [self._hidden_kernel(cells)]
        calls, macs = self._kinds.get(kind, (0, 0))
        self._kinds[kind] = KindCount(calls + 1, macs + call.macs)
        # The MACs belong to the kernel, or to the operator around several kernels.
        owner = kernels[0] if len(kernels) == 1 else call.operator
        self._operator_macs[owner] += call.macs
        for name, cell in cells.items():
            add(self._counted, CellKey(self._root, name, kind, name in kernels), cell)
        self._expect()

    def _hidden_kernel(self, cells: Cells) -> str:
        """Return the operator that stands for a kernel without events (oneDNN's deconvolution)."""
        wrappers = list(filter(self._taxonomy.is_mac_wrapper, cells))
        return max(wrappers or cells, key=lambda name: cells[name][1])
