"""The latency of a call as a tree: module, composite, operator, line.

A parent is the sum of its children, and the root is the latency. Times outside operators, and the
part of the latency that nothing explains, are nodes of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.call_parts import bounded_ns, call_parts
from pytest_hiddencost.report.html.escaping import short, visible

MODEL, MODULE, COMPOSITE, OPERATOR, LINE = "model", "module", "composite", "operator", "line"
OUTSIDE, UNEXPLAINED, SMALLER = "outside", "unexplained", "smaller"
SMALL_SHARE = 0.0005  # of the latency; smaller nodes are put together
WORTH_SAYING = 1.005  # of the latency: the note tells of parts that sum to more
PER_NS = 1000  # values are whole picoseconds, so that sums are exact


@dataclass
class IcicleNode:
    """One part of the latency; ``calls`` is None where no operator is called.

    ``ns`` and ``mac_ns`` are filled in from the children, unless the node has none.
    """

    name: str
    kind: str
    ns: float = 0.0
    mac_ns: float = 0.0
    calls: int | None = None
    where: str = ""
    children: dict[tuple[str, str], IcicleNode] = field(default_factory=dict)

    def child(self, kind: str, name: str) -> IcicleNode:
        """Return the child of that kind and name; make it on first use."""
        return self.children.setdefault((kind, name), IcicleNode(name, kind))

    def add(self, ns: float, mac_share: float, calls: int) -> None:
        """Add calls to a leaf."""
        self.ns += ns
        self.mac_ns += ns * mac_share
        self.calls = (self.calls or 0) + calls


def icicle(profile: Profile, most_nodes: int = 600) -> dict[str, Any]:
    """Return the tree as columns; ``parents`` are positions, and the root has -1.

    ``values`` are widths in picoseconds. They are scaled down if the parts sum to more than the
    latency, and ``note`` says so.
    """
    latency_ns = bounded_ns(profile.latency.median_ns)
    root = _tree(profile)
    explained_ns = _sum_up(root)
    scale = min(1.0, latency_ns / explained_ns) if explained_ns else 1.0
    if (rest_ns := latency_ns - explained_ns) > 0.0:
        root.child(UNEXPLAINED, "unexplained").ns = rest_ns
        root.ns = latency_ns
    least_ns = SMALL_SHARE * root.ns
    _simplify(root)
    _put_together(root, least_ns)
    while (count := sum(1 for _ in _walk(root))) > most_nodes and least_ns < root.ns:
        least_ns *= max(2.0, count / most_nodes)
        _put_together(root, least_ns)
    return {**_columns(root, latency_ns, scale), "note": _note(explained_ns, latency_ns)}


def _tree(profile: Profile) -> IcicleNode:
    """Return the leaves of all operators in their places."""
    root = IcicleNode(profile.model or "call", MODEL)
    for part in call_parts(profile):
        node = root
        for module in part.modules:
            node = node.child(MODULE, module)
        node = node.child(COMPOSITE, part.composite).child(OPERATOR, part.operator.name)
        leaf = node.child(LINE, part.line)
        leaf.where = part.line
        leaf.add(part.self_ns, part.operator.mac_share, part.calls)
    if profile.outside_ns > 0.0:
        root.child(OUTSIDE, "outside operators").ns = bounded_ns(profile.outside_ns)
    return root


def _sum_up(node: IcicleNode) -> float:
    """Fill in the times and calls of every parent; return the node's time."""
    if node.children:
        node.ns = sum(_sum_up(child) for child in node.children.values())
        node.mac_ns = sum(child.mac_ns for child in node.children.values())
        if node.kind in (OPERATOR, LINE):
            node.calls = sum(child.calls or 0 for child in node.children.values())
    return node.ns


def _simplify(node: IcicleNode) -> None:
    """Leave out levels that say nothing: the only module inside another, an only line."""
    children = []
    for child in node.children.values():
        _simplify(child)
        children.append(_without_level(child))
    node.children = {(child.kind, f"{i} {child.name}"): child for i, child in enumerate(children)}


def _without_level(node: IcicleNode) -> IcicleNode:
    if len(node.children) != 1:
        return node
    (only,) = node.children.values()
    if node.kind == MODULE == only.kind:
        only.name = f"{node.name}.{only.name}"
        return only
    if node.kind == OPERATOR and only.kind == LINE:
        node.where, node.children = only.where, {}
    if node.kind == COMPOSITE and only.kind == OPERATOR and node.name == only.name:
        return only
    return node


def _put_together(node: IcicleNode, least_ns: float) -> None:
    """Put children that take less than ``least_ns`` into one, if they are several.

    Children that were put together before go into it as well, whatever they take.
    """
    for child in node.children.values():
        _put_together(child, least_ns)
    small = [
        key
        for key, child in node.children.items()
        if child.kind == SMALLER
        or (child.ns < least_ns and child.kind not in (OUTSIDE, UNEXPLAINED))
    ]
    if len(small) < 2:
        return
    gone = [node.children.pop(key) for key in small]
    count = sum(_count_in(child) for child in gone)
    together = IcicleNode(f"{count} smaller", SMALLER)
    together.ns = sum(child.ns for child in gone)
    together.mac_ns = sum(child.mac_ns for child in gone)
    node.children[SMALLER, ""] = together


def _count_in(node: IcicleNode) -> int:
    """Return the number of parts that a node stands for, with those put together before."""
    return int(node.name.split()[0]) if node.kind == SMALLER else 1


def _walk(node: IcicleNode) -> Iterator[IcicleNode]:
    yield node
    for child in node.children.values():
        yield from _walk(child)


def _columns(root: IcicleNode, latency_ns: float, scale: float) -> dict[str, Any]:
    placed = list(_placed(root, -1, []))
    values = [0] * len(placed)
    for position, (node, _) in enumerate(placed):
        if not node.children:
            values[position] = round(node.ns * scale * PER_NS)
    for position in range(len(placed) - 1, 0, -1):  # children come after their parents
        values[placed[position][1]] += values[position]
    nodes = [node for node, _ in placed]
    return {
        "labels": [short(node.name) for node in nodes],
        "parents": [parent for _, parent in placed],
        "values": values,
        "kinds": [node.kind for node in nodes],
        "mac": [round(node.mac_ns / node.ns, 4) if node.ns else 0.0 for node in nodes],
        "texts": [_figures(node, latency_ns) for node in nodes],
        "where": [visible(node.where) for node in nodes],
    }


def _placed(
    node: IcicleNode, parent: int, found: list[tuple[IcicleNode, int]]
) -> Sequence[tuple[IcicleNode, int]]:
    """Return every node with the position of its parent, parents first."""
    position = len(found)
    found.append((node, parent))
    children: Iterable[IcicleNode] = sorted(node.children.values(), key=lambda child: -child.ns)
    for child in children:
        _placed(child, position, found)
    return found


def _figures(node: IcicleNode, latency_ns: float) -> str:
    parts = [units.format_duration(node.ns)]
    if latency_ns:
        parts.append(units.format_share(node.ns / latency_ns))
    if node.calls is not None:
        parts.append(units.format_quantity("calls", node.calls))
    return ", ".join(parts)


def _note(explained_ns: float, latency_ns: float) -> str:
    if explained_ns <= WORTH_SAYING * latency_ns or not latency_ns:
        return ""
    share = units.format_share(explained_ns / latency_ns)
    return f"The parts sum to {share} of the median latency; widths are scaled to fit."
