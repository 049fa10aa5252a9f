"""The time of one call as a tree: module, operator that Python called, operator.

Times are corrected. The tree adds calls up, without their order: the largest part is first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.call_parts import CallPart, call_parts

OUTSIDE = "outside operators"
UNEXPLAINED = "not explained by operators"
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
    for part in call_parts(profile):
        root.add(_path(part), _whole(part.self_ns), part.calls)
    explained_ns = sum(operator.self_ns for operator in profile.operators) + profile.outside_ns
    rest = {OUTSIDE: profile.outside_ns, UNEXPLAINED: profile.latency.median_ns - explained_ns}
    for text, self_ns in rest.items():
        root.add((TreeFrame(text),), _whole(self_ns))
    return root


def _whole(ns: float) -> int:
    """Return a time in whole ns, at least 0: a correction may leave a negative one."""
    return round(ns) if 0 < ns <= _LONGEST_NS else 0


def _path(part: CallPart) -> tuple[TreeFrame, ...]:
    modules = [TreeFrame(".".join(part.modules[: i + 1])) for i in range(len(part.modules))]
    file, _, number = part.line.rpartition(":")
    known = file and number.isascii() and number.isdecimal()
    called = TreeFrame(part.composite, *((file, int(number)) if known else ()))
    name = part.operator.name
    return (*modules, called, *(() if part.composite == name else (TreeFrame(name),)))
