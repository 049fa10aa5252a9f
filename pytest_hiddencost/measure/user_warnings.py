"""The warnings of a measured call: each reaches the user once, however often the call runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from torch.nn.modules import module as nn_module

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True

# A compiled module warns of hooks on all modules, which this package sets while it watches a call.
HOOKS = "Using `torch.compile\\(module\\)` when there are global hooks"
# The compiler warns of the marks that these hooks leave for the profiler.
MARKS = "Dynamo does not know how to trace the builtin `.*RecordFunctionFast"
_MEASURE = str(Path(__file__).parent)
EVERY_TIME = ("always", "all")


@contextmanager
def warned_once() -> Iterator[None]:
    """Show each warning in the block once, after the block; leave out those that we cause.

    The user's filters stay in force. A filter that shows a warning every time would record one per
    call, inside the measured time. So it counts as one that shows the warning once per line.
    """
    found: dict[tuple[object, ...], tuple[Warning | str, type[Warning], str, int]] = {}

    def keep(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        # Each pass makes the call on a line of its own, to which the model may point.
        place = ("", 0) if filename.startswith(_MEASURE) else (filename, lineno)
        key = (str(message), category, *place)
        found.setdefault(key, (message, category, filename, lineno))

    try:
        with warnings.catch_warnings():
            filters = warnings.filters
            filters[:] = [("default" if f[0] in EVERY_TIME else f[0], *f[1:]) for f in filters]  # type: ignore[index]  # a list, which typeshed calls a sequence
            if not _hooked():
                warnings.filterwarnings("ignore", message=HOOKS)
            warnings.filterwarnings("ignore", message=MARKS)
            warnings.showwarning = keep
            yield
    finally:
        for warning in found.values():
            warnings.showwarning(*warning)


def _hooked() -> bool:
    """Return whether there are hooks on all modules, which are the user's."""
    found = getattr(nn_module, "_has_any_global_hook", None)  # torch 2.3 does not warn of them
    return found is not None and bool(found())
