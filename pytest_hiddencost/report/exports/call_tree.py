"""The time of one call as a tree: module, operator that Python called, operator.

Times are corrected. The tree adds calls up, without their order: the largest part is first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_hiddencost.core.records import CallSiteCost, OperatorCost, Profile

OUTSIDE = "outside operators"
UNEXPLAINED = "not explained by operators"
UNKNOWN_MODULE = "module not known"
_MOST_MODULES = 50  # one inside another
_LONGEST_NS = 2**62


class TreeFrame(NamedTuple):
    """A module, an operator or a line of text, and the user's line that calls it (0: unknown)."""

    name: str
    file: str = ""
    line: int = 0


@dataclass
class TreeNode:
    """A frame with its own time, and the frames inside it.

    Times are whole ns, so that parts add up exactly.
    """

    frame: TreeFrame
    self_ns: int = 0
    total_ns: int = 0  # of the frame and of everything inside it
    calls: int = 0  # of an operator
    inside: dict[TreeFrame, TreeNode] = field(default_factory=dict)

    def ordered(self) -> list[TreeNode]:
        """Return the frames inside that take time, largest first."""
        found = [node for node in self.inside.values() if node.total_ns > 0]
        return sorted(found, key=lambda node: -node.total_ns)

    def add(self, path: tuple[TreeFrame, ...], self_ns: int, calls: int = 0) -> None:
        """Add time and calls at the end of a path of frames; add missing nodes."""
        node = self
        node.total_ns += self_ns
        for frame in path:
            inner = node.inside.get(frame)
            if inner is None:
                inner = node.inside[frame] = TreeNode(frame)
            node = inner
            node.total_ns += self_ns
        node.self_ns += self_ns
        node.calls += calls


def call_tree(profile: Profile, name: str) -> TreeNode:
    """Return the tree of one call; its root has that name and, at least, the latency."""
    root = TreeNode(TreeFrame(name))
    for operator in profile.operators:
        for path, self_ns, calls in _parts(operator):
            root.add(path, _whole(self_ns), calls)
    explained_ns = sum(operator.self_ns for operator in profile.operators) + profile.outside_ns
    rest = {OUTSIDE: profile.outside_ns, UNEXPLAINED: profile.latency.median_ns - explained_ns}
    for text, self_ns in rest.items():
        root.add((TreeFrame(text),), _whole(self_ns))
    return root


def _whole(ns: float) -> int:
    """Return a time in whole ns, at least 0: a correction may leave a negative one."""
    return round(ns) if 0 < ns <= _LONGEST_NS else 0


def _parts(operator: OperatorCost) -> Iterator[tuple[tuple[TreeFrame, ...], float, int]]:
    """Yield path, self time and calls for each known call site, then for the rest."""
    for site in operator.call_sites:
        yield _path(operator.name, site), site.self_ns, site.calls
    rest_ns = operator.self_ns - sum(site.self_ns for site in operator.call_sites)
    calls = operator.calls - sum(site.calls for site in operator.call_sites)
    yield (TreeFrame(UNKNOWN_MODULE), TreeFrame(operator.name)), rest_ns, max(0, calls)


def _path(name: str, site: CallSiteCost) -> tuple[TreeFrame, ...]:
    parts = site.module.split(".", _MOST_MODULES) if site.module else []
    modules = [TreeFrame(".".join(parts[: i + 1])) for i in range(len(parts))]
    if not modules and not site.line:
        modules = [TreeFrame(UNKNOWN_MODULE)]
    file, _, number = site.line.rpartition(":")
    known = file and number.isascii() and number.isdecimal()
    called = TreeFrame(site.root or name, *((file, int(number)) if known else ()))
    inner = () if site.root in ("", name) else (TreeFrame(name),)
    return (*modules, called, *inner)
