"""The group of each operator, by the name that the profiler gives it; which ones are MAC kernels.

`taxonomy_table` lists the names. Rules cover variants of a listed name: ``aten::add_``,
``aten::add.Tensor`` and ``aten::_foreach_add`` are all additions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pytest_hiddencost.core import taxonomy_table as table
from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.fused_kernels import KERNEL

GROUPS = (
    "mac", "normalization", "activation", "pooling", "elementwise", "concatenation",
    "data_movement", "view", "allocation", "reduction", "indexing", "fused", "wrapper",
    "unclassified",
)  # fmt: skip
"""Every group of operators, in the order of reports."""

_GLOB = re.compile(r"[*?\[]")
_DERIVED = re.compile(r"_copy$|_(?:double_)?backward(?:_\w+)?$")
_MAC_WRAPPERS = frozenset(table.full_names(table.MAC_WRAPPER))

# Names that state their group; tried in order, if no table has an entry.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (KERNEL, "fused"),
    (re.compile(r"(?:aten|mkldnn)::_?is_\w+$"), "wrapper"),  # questions
    (re.compile(r"aten::\w+_loss$"), "reduction"),
    (re.compile(r"aten::special_\w+$"), "elementwise"),
    (re.compile(r"\w*(?:quantized|onednn|sparse)::\w+_(?:un|pre)pack(_\w+)?$"), "data_movement"),
    (re.compile(r"quantized::conv\w+_(?:stride|padding|dilation|groups|transpose)$"), "wrapper"),
    (re.compile(r"detach_?$"), "view"),  # autograd records one without a namespace
    (re.compile(r"(?:autograd::engine|torch::autograd)::|\w+Backward\d*$"), "wrapper"),
    # The CUDA and HIP runtime as kineto names it.
    (re.compile(r"(?:Memcpy|Memset) |(?:cuda|cu|hip)Mem(?:cpy|set)"), "data_movement"),
    (re.compile(r"(?:cuda|cu|hip)(?:Malloc|Free|HostAlloc|HostFree|Mem[A-Z])"), "allocation"),
    (re.compile(r"(?:cuda|cu|hip)[A-Z]\w+$"), "wrapper"),
)

# Words of a name that suggest a matrix product, a convolution, or a model part made of them.
_MAC_WORD = re.compile(
    r"q?(?:de)?conv(?:olution)?s?(?:\d+d?)?|\w*gemm\w*|\w*matmul\w*|\w*gemv|(?:batch|int|fp|q)?\d*mm"
    r"|addmm|bmm|baddbmm|addbmm|spmm|mv|addmv|q?(?:bi)?linear|dense|mlp|attention|attn|sdpa|mha"
    r"|q?(?:lstm|gru|rnn)|einsum|(?:tensor|vec|v)?dot"
)
_WORD_EDGES = re.compile(r"::|[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """A mapping of operator names and globs to groups, on top of another taxonomy."""

    names: Mapping[str, str]
    globs: tuple[tuple[str, str], ...] = ()
    base: Taxonomy | None = None
    _cache: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def group(self, name: str) -> str:
        """Return the group of one operator; ``unclassified`` if the name is unknown."""
        if name not in self._cache:
            self._cache[name] = self._find(name)
        return self._cache[name]

    def is_mac_kernel(self, name: str) -> bool:
        """Return whether this operator's self time is MAC time."""
        return self.group(name) == "mac"

    def is_mac_wrapper(self, name: str) -> bool:
        """Return whether this composite calls MAC kernels.

        Some backends, such as oneDNN's transposed convolution, run their kernel below the profiler.
        If no MAC kernel ran inside the innermost such wrapper, its self time is MAC time.
        """
        return self.group(name) == "wrapper" and not _MAC_WRAPPERS.isdisjoint(_forms(name))

    def knows(self, name: str) -> bool:
        """Return whether an operator of this name has a group, or a glob matches a listed one."""
        if not _GLOB.search(name):
            return self.group(name) != "unclassified"
        listed = any(fnmatchcase(known, name) for known in self.names)
        return listed or (self.base is not None and self.base.knows(name))

    def looks_like_mac(self, name: str) -> bool:
        """Return whether an operator is a MAC kernel, or unknown and named like one."""
        group = self.group(name)
        if group != "unclassified":
            return group == "mac"
        return any(_MAC_WORD.fullmatch(word.lower()) for word in _WORD_EDGES.split(name))

    def extended(self, mapping: Mapping[str, str]) -> Taxonomy:
        """Return this taxonomy with a user's mapping of operator names or globs to groups.

        The mapping (``{"mylib::fused_*": "normalization"}``) wins over this taxonomy. Within it an
        exact name wins over a glob, and an earlier glob over a later one. Raises
        ``HiddenCostError`` for a group that does not exist.
        """
        for name, group in mapping.items():
            _check_entry(name, group)
        globs = {name: group for name, group in mapping.items() if _GLOB.search(name)}
        names = {name: group for name, group in mapping.items() if name not in globs}
        return Taxonomy(names, tuple(globs.items()), base=self)

    def _find(self, name: str) -> str:
        forms = tuple(_forms(name))
        listed = [self.names[form] for form in forms if form in self.names] or [
            group for form in forms for glob, group in self.globs if fnmatchcase(form, glob)
        ]
        if listed:
            return listed[0]
        if self.base is not None:
            return self.base.group(name)
        return self._derived(forms[-1]) or _ruled(forms) or "unclassified"

    def _derived(self, name: str) -> str | None:
        """Return the group of a view's copying twin, or of a backward operator."""
        original = _DERIVED.sub("", name)
        if original == name:
            return None
        group = self.names.get(original)
        if group == "view":
            return "data_movement"
        if name.endswith("_copy"):
            return None
        return group or _ruled((original,))


def _forms(name: str) -> Iterator[str]:
    """Yield the name, then without its overload, then without in-place, out and foreach."""
    yield name
    if "::" not in name:
        return
    operator = name.partition(".")[0]
    if operator != name:
        yield operator
    base = operator.removesuffix("_out" if operator.endswith("_out") else "_")
    base = base.replace("aten::_foreach_", "aten::", 1)
    if base != operator:
        yield base


def _ruled(forms: tuple[str, ...]) -> str | None:
    return next((group for rule, group in _RULES if any(map(rule.match, forms))), None)


def _check_entry(name: object, group: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise HiddenCostError(f"operator groups: {name!r} is not an operator name or glob")
    if group in GROUPS:
        return
    near = get_close_matches(str(group).lower(), GROUPS, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise HiddenCostError(
        f"operator groups: {name!r} is put into {group!r}, which is no group{hint}; "
        f"groups are {', '.join(GROUPS)}"
    )


DEFAULT = Taxonomy(
    {name: group for group, block in table.BLOCKS for name in table.full_names(block)}
)
"""The table as shipped."""
