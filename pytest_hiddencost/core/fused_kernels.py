"""Kernels that torch.compile generates: the operators that one fuses, as its name says.

``cpp_fused_add_relu_3`` fuses ``add`` and ``relu``. The compiler joins the sorted names of the ATen
operators by underscores, which these names contain themselves. So the name is split into known
operators, as few as possible. Two operators whose names together are that of a third, such as
``index`` and ``select``, are taken for the third.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from pytest_hiddencost.core.taxonomy_table import BLOCKS, full_names

KERNEL: Final = re.compile(
    r"(?:graph_\d+_)?(?:cpp|triton_[a-z]{3})_fused_(?:(?P<operators>\w+?)_)?\d+$"
)
"""Names of generated kernels: of C++, and of Triton with a category such as ``poi``."""

_NAMESPACES = ("aten::", "quantized_decomposed::")


def is_fused_kernel(name: str) -> bool:
    """Return whether an event of this name is a kernel that torch.compile generated."""
    return KERNEL.match(name) is not None


def fused_operators(kernel: str) -> tuple[str, ...]:
    """Return the operators that a generated kernel fuses; none for any other name."""
    found = KERNEL.match(kernel)
    return _split(found["operators"]) if found and found["operators"] else ()


def _split(text: str) -> tuple[str, ...]:
    """Return the operators whose names, joined by underscores, are the text.

    The split with the fewest characters of unknown names wins, then the one with the fewest names.
    """
    ends = [i for i in range(1, len(text) + 1) if i == len(text) or text[i] == "_"]
    best: dict[int, tuple[int, int, tuple[str, ...]]] = {0: (0, 0, ())}  # by the next name's start
    for end in ends:
        splits = []
        for start, (unknown, count, names) in best.items():
            if start < end:
                name = text[start:end]
                more = 0 if _is_known(name) else len(name) + 1
                splits.append((unknown + more, count + 1, (*names, name)))
        best[end + 1] = min(splits)
    return best[len(text) + 1][2]


def _is_known(name: str) -> bool:
    return not _known_names().isdisjoint((name, re.sub(r"_(?:double_)?backward$", "", name)))


@cache
def _known_names() -> frozenset[str]:
    names = (name for _, block in BLOCKS for name in full_names(block))
    return frozenset(name.partition("::")[2] for name in names if name.startswith(_NAMESPACES))
