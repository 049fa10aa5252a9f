"""From the events of one profiled call to self times: per operator, per composite, per MAC kind.

One pass with a stack of open events books every event's duration to its own cell and takes it
from its parent's, which leaves self times. Cells are kept per root (the operator that no other
operator called), and those inside a counted MAC call apart from the rest, so that the same pass
tells what belongs to which kind of MACs and which MAC kernels were in no count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pytest_hiddencost.profiling.macs import KIND_OF_COMPOSITE, MacCall
from pytest_hiddencost.taxonomy import Taxonomy

# (name, start, end, time charged), ns. On the host the charge is the duration; where kernels run on
# a device of their own, it is the time of the kernels the operator launched itself.
Event = tuple[str, int, int, int]
Cell = list[int]  # [calls, self time in ns]
Cells = dict[str, Cell]  # by operator


@dataclass
class KindTotal:
    """Calls, MACs and kernel self time (ns) of one kind of MACs in one window."""

    calls: int = 0
    macs: int = 0
    self_ns: int = 0


@dataclass
class Window:
    """One profiled call, folded; ``wall_ns`` is the time of the whole call, profiler on."""

    wall_ns: int
    events: int = 0
    root_calls: dict[str, int] = field(default_factory=dict)
    plain: dict[str, Cells] = field(default_factory=dict)  # by root, in no MAC call
    within_macs: dict[str, Cells] = field(default_factory=dict)  # by root, in a MAC call
    kinds: dict[str, KindTotal] = field(default_factory=dict)
    operator_macs: dict[str, int] = field(default_factory=dict)
    hidden_kernel_ns: dict[str, int] = field(default_factory=dict)  # MAC time in wrappers
    matched: int = 0  # MAC calls found among the events
    around_macs: set[str] = field(default_factory=set)  # operators that contain a MAC call

    def composites(self) -> dict[str, Cells]:
        """What is inside each root operator, itself included: calls and self times."""
        totals: dict[str, Cells] = {}
        for cells_by_root in (self.plain, self.within_macs):
            for root, cells in cells_by_root.items():
                merge(totals.setdefault(root, {}), cells)
        return totals

    def operators(self) -> Cells:
        """Calls and self time per operator."""
        totals: Cells = {}
        for cells_by_root in (self.plain, self.within_macs):
            for cells in cells_by_root.values():
                merge(totals, cells)
        return totals

    def structure(self) -> dict[str, dict[str, int]]:
        """Calls by root and operator: what must be equal from window to window."""
        return {
            root: {name: cell[0] for name, cell in cells.items()}
            for root, cells in self.composites().items()
        }


def merge(into: Cells, cells: Cells) -> None:
    """Add the calls and times of ``cells``."""
    for name, (calls, self_ns) in cells.items():
        cell = into.setdefault(name, [0, 0])
        cell[0] += calls
        cell[1] += self_ns


def fold(
    events: Iterable[Event],
    mac_calls: Sequence[MacCall],
    wall_ns: int,
    taxonomy: Taxonomy,
    *,
    inclusive: bool = True,
) -> Window:
    """Fold the events of one call, sorted by start.

    ``mac_calls`` are the counted calls in execution order; each is matched with the next event of
    its name that lies in no event matched before. ``inclusive`` says that an event's charge
    includes those of the events inside it.
    """
    window = Window(wall_ns)
    booking = _MacBooking(window, mac_calls, taxonomy)
    expected = booking.expected
    ends: list[int] = []
    open_cells: list[Cell] = []
    names: list[str] = []
    cells: Cells = {}
    mac_depth = 0  # the depth at which the open MAC call lies; 0: none is open
    count = 0
    for name, start, end, charge in events:
        count += 1
        while ends and ends[-1] <= start:
            ends.pop()
            open_cells.pop()
            names.pop()
        if mac_depth and len(ends) < mac_depth:
            mac_depth = 0
            booking.close()
            if ends:
                cells = window.plain[names[0]]
        if not ends:
            cells = window.plain.setdefault(name, {})
            window.root_calls[name] = window.root_calls.get(name, 0) + 1
        if name == expected and not mac_depth:
            mac_depth = len(ends) + 1
            cells = booking.open(name, names)
            expected = booking.expected
        cell = cells.get(name)
        if cell is None:
            cell = cells[name] = [0, 0]
        cell[0] += 1
        cell[1] += charge
        if inclusive and ends:
            open_cells[-1][1] -= charge
        ends.append(end)
        open_cells.append(cell)
        names.append(name)
    if mac_depth:
        booking.close()
    window.events = count
    return window


class _MacBooking:
    """Books what lies inside the counted MAC calls, one call at a time."""

    def __init__(self, window: Window, mac_calls: Sequence[MacCall], taxonomy: Taxonomy) -> None:
        self._window = window
        self._remaining = iter(mac_calls)
        self._taxonomy = taxonomy
        self._next = next(self._remaining, None)
        self._cells: Cells = {}

    @property
    def expected(self) -> str | None:
        """The operator of the next MAC call to be found."""
        return self._next.operator if self._next is not None else None

    def open(self, name: str, ancestors: Sequence[str]) -> Cells:
        assert self._next is not None
        self._call, self._next = self._next, next(self._remaining, None)
        self._root = ancestors[0] if ancestors else name
        self._kind = next(
            (KIND_OF_COMPOSITE[a] for a in ancestors if a in KIND_OF_COMPOSITE), self._call.kind
        )
        self._window.around_macs.update(ancestors)
        self._window.matched += 1
        self._cells = {}
        return self._cells

    def close(self) -> None:
        window, call = self._window, self._call
        kernels = [name for name in self._cells if self._taxonomy.is_mac_kernel(name)]
        if not kernels:
            kernels = [self._hidden_kernel()]
            cell = self._cells[kernels[0]]
            booked = window.hidden_kernel_ns.get(kernels[0], 0)
            window.hidden_kernel_ns[kernels[0]] = booked + max(0, cell[1])
        total = window.kinds.setdefault(self._kind, KindTotal())
        total.calls += 1
        total.macs += call.macs
        total.self_ns += sum(max(0, self._cells[name][1]) for name in kernels)
        # One kernel did it all, or the operator that called several answers for them.
        owner = kernels[0] if len(kernels) == 1 else call.operator
        window.operator_macs[owner] = window.operator_macs.get(owner, 0) + call.macs
        merge(window.within_macs.setdefault(self._root, {}), self._cells)

    def _hidden_kernel(self) -> str:
        """Who did the MACs where the kernel is below the profiler (oneDNN's deconvolution)."""
        wrappers = [name for name in self._cells if self._taxonomy.is_mac_wrapper(name)]
        return max(wrappers or self._cells, key=lambda name: self._cells[name][1])
