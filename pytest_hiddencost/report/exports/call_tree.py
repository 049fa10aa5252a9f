"""The time of one call as a tree: module, operator that Python called, operator.

Times are corrected. The tree adds calls up, without their order: the largest part is first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_hiddencost.core.records import CallSiteCost, OperatorCost, Profile

OUTSIDE = "outside operators"
UNEXPLAINED = "not explained by operators"
UNKNOWN_MODULE = "module not known"
_MOST_MODULES = 50  # one inside another
_LONGEST_NS = 2**62


@dataclass(frozen=True)
class TreeFrame:
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
    calls: int = 0  # of an operator
    inside: dict[TreeFrame, TreeNode] = field(default_factory=dict)

    @property
    def total_ns(self) -> int:
        """Time of the frame and of everything inside it."""
        return self.self_ns + sum(node.total_ns for node in self.inside.values())

    def ordered(self) -> list[TreeNode]:
        """Return the frames inside that take time, largest first."""
        found = [node for node in self.inside.values() if node.total_ns > 0]
        return sorted(found, key=lambda node: -node.total_ns)

    def at(self, path: tuple[TreeFrame, ...]) -> TreeNode:
        """Return the node at the end of a path of frames; add missing nodes."""
        node = self
        for frame in path:
            node = node.inside.setdefault(frame, TreeNode(frame))
        return node


def call_tree(profile: Profile, name: str) -> TreeNode:
    """Return the tree of one call; its root has that name and, at least, the latency."""
    root = TreeNode(TreeFrame(name))
    for operator in profile.operators:
        for path, self_ns, calls in _parts(operator):
            node = root.at(path)
            node.self_ns += _whole(self_ns)
            node.calls += calls
    explained_ns = sum(operator.self_ns for operator in profile.operators) + profile.outside_ns
    rest = {OUTSIDE: profile.outside_ns, UNEXPLAINED: profile.latency.median_ns - explained_ns}
    for text, self_ns in rest.items():
        root.at((TreeFrame(text),)).self_ns = _whole(self_ns)
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
