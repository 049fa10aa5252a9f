"""Operator name, as the profiler gives it, to its group; which operators are MAC kernels.

The names are in `taxonomy_table`; here are the lookup and the few rules for names that follow from
another: ``aten::add_``, ``aten::add.Tensor`` and ``aten::_foreach_add`` are all additions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pytest_hiddencost.core import taxonomy_table as table
from pytest_hiddencost.core.errors import HiddenCostError

GROUPS: tuple[str, ...] = (
    "mac",
    "normalization",
    "activation",
    "pooling",
    "elementwise",
    "concatenation",
    "data_movement",
    "view",
    "allocation",
    "reduction",
    "indexing",
    "wrapper",
    "unclassified",
)
"""Every group an operator can be in, in the order reports show them."""

_GLOB = re.compile(r"[*?\[]")
_DERIVED = re.compile(r"_copy$|_(?:double_)?backward(?:_\w+)?$")
_MAC_WRAPPERS = frozenset(table.full_names(table.MAC_WRAPPER))

# Names that say their group themselves. Tried in order, only where no table has an entry.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:aten|mkldnn)::_?is_\w+$"), "wrapper"),  # questions
    (re.compile(r"aten::\w+_loss$"), "reduction"),
    (re.compile(r"aten::special_\w+$"), "elementwise"),
    (re.compile(r"\w*(?:quantized|onednn|sparse)::\w+_(?:un|pre)pack(_\w+)?$"), "data_movement"),
    (re.compile(r"quantized::conv\w+_(?:stride|padding|dilation|groups|transpose)$"), "wrapper"),
    (re.compile(r"detach_?$"), "view"),  # autograd's own step of it has no namespace
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
    """Operator names and globs to groups, on top of another taxonomy. Immutable but for a cache."""

    names: Mapping[str, str]
    globs: tuple[tuple[str, str], ...] = ()
    base: Taxonomy | None = None
    _cache: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def group(self, name: str) -> str:
        """The group of one operator; ``unclassified`` for a name nothing is known about."""
        found = self._cache.get(name)
        if found is None:
            found = self._cache[name] = self._find(name)
        return found

    def is_mac_kernel(self, name: str) -> bool:
        """Whether this operator's self time is multiply-accumulate time."""
        return self.group(name) == "mac"

    def is_mac_wrapper(self, name: str) -> bool:
        """Whether this composite calls MAC kernels.

        Some backends run their kernel below the profiler: where no MAC kernel ran inside the
        innermost such wrapper, its self time is MAC time (oneDNN's transposed convolution, say).
        """
        return self.group(name) == "wrapper" and not _MAC_WRAPPERS.isdisjoint(_forms(name))

    def knows(self, name: str) -> bool:
        """Whether an operator of this name, or one that a glob matches, has an entry."""
        if not _GLOB.search(name):
            return self.group(name) != "unclassified"
        if any(fnmatchcase(known, name) for known in self.names):
            return True
        return self.base is not None and self.base.knows(name)

    def looks_like_mac(self, name: str) -> bool:
        """Whether an operator could do MACs: it is a MAC kernel, or unknown and named like one."""
        group = self.group(name)
        if group != "unclassified":
            return group == "mac"
        words = _WORD_EDGES.split(name)
        return any(_MAC_WORD.fullmatch(word.lower()) for word in words)

    def extended(self, mapping: Mapping[str, str]) -> Taxonomy:
        """This taxonomy under a user's mapping of operator names or globs to groups.

        ``{"mylib::fused_*": "normalization"}``: the mapping wins over what was there. Within it
        an exact name wins over a glob, and an earlier glob over a later one. A group that does not
        exist is a ``HiddenCostError``.
        """
        for name, group in mapping.items():
            _check_entry(name, group)
        names = {name: group for name, group in mapping.items() if not _GLOB.search(name)}
        globs = tuple((name, group) for name, group in mapping.items() if _GLOB.search(name))
        return Taxonomy(names, globs, base=self)

    def _find(self, name: str) -> str:
        forms = tuple(_forms(name))
        listed = self._listed(forms)
        if listed is not None:
            return listed
        if self.base is not None:
            return self.base.group(name)
        return self._derived(forms[-1]) or _ruled(forms) or "unclassified"

    def _listed(self, forms: tuple[str, ...]) -> str | None:
        for form in forms:
            if form in self.names:
                return self.names[form]
        for form in forms:
            for glob, group in self.globs:
                if fnmatchcase(form, glob):
                    return group
        return None

    def _derived(self, name: str) -> str | None:
        """The group of a view's copying twin, or of a backward operator from its forward one."""
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
    """The name, then without its overload, then without in-place, out and foreach."""
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
    for pattern, group in _RULES:
        if any(pattern.match(form) for form in forms):
            return group
    return None


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
