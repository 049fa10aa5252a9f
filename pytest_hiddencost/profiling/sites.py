"""Where in the user's code every root operator of a call comes from: module path and line.

One profiled call of its own, whose times are never read. Module calls are marked by global hooks
(hooks on single modules would switch fast paths off), lines by a dispatch mode that looks at the
Python stack; both put events of their own around or into the operators', so that the event tree
says what belongs to what.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch._C._profiler import _RecordFunctionFast
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from pytest_hiddencost.profiling import dispatch
from pytest_hiddencost.profiling.calls import Call
from pytest_hiddencost.profiling.dispatch import UnseenMode
from pytest_hiddencost.profiling.folding import Node, Site, is_operator
from pytest_hiddencost.profiling.operators import marked_call

_MODULE, _LINE = "hiddencost module ", "hiddencost line "
_TORCH = str(Path(torch.__file__).parent)
_OURS = str(Path(__file__).parent)
_MODES = (__file__, dispatch.__file__)


def root_sites(call: Call) -> list[tuple[str, Site]]:
    """The name and site of every root operator of ``call``, in their order.

    Either part of a site is empty where it is not known: the line of an operator that never
    reached the dispatcher, the module of a function of no module.
    """
    places = _Places(call)
    mark, _ = marked_call(call, warm=False, run=lambda: places.run(call))
    found: list[tuple[str, Site]] = []
    _collect(mark.children, places, "", found)
    return found


def _collect(
    nodes: Sequence[Node], places: _Places, module: str, found: list[tuple[str, Site]]
) -> None:
    for node in nodes:
        name = node.name
        if is_operator(name):
            found.append((name, Site(module, _line_in(node, places))))
        elif name.startswith(_MODULE):
            inner = places.names[int(name.removeprefix(_MODULE))]
            _collect(node.children, places, inner, found)
        else:
            _collect(node.children, places, module, found)


def _line_in(node: Node, places: _Places) -> str:
    """The line marked inside an operator; that of its first operator, and so of itself."""
    for child in node.children:
        name = child.name
        if name.startswith(_LINE):
            return places.names[int(name.removeprefix(_LINE))]
        if line := _line_in(child, places):
            return line
    return ""


class _Places:
    """Modules and lines met during a call, numbered; an event carries the number."""

    def __init__(self, call: Call) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._paths: dict[int, str] = {}
        self._open: list[tuple[int, Any]] = []
        if call.module is not None:
            self._name_modules(call.module, "")

    def number(self, name: str) -> int:
        """The number of a name; a new one for a new name."""
        if name not in self._numbers:
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]

    def run(self, call: Call) -> object:
        """Run the call with every module call and dispatched operator marked."""
        with self._module_hooks(), _LineMode(self):
            return call.run_synchronized()

    def _name_modules(self, top: torch.nn.Module, path: str) -> None:
        for name, module in top.named_modules():
            self._paths.setdefault(id(module), ".".join(part for part in (path, name) if part))

    @contextmanager
    def _module_hooks(self) -> Iterator[None]:
        with ExitStack() as stack:
            before = register_module_forward_pre_hook(self._enter)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._exit, always_call=True)
            stack.callback(after.remove)
            yield

    def _enter(self, module: torch.nn.Module, _args: object) -> None:
        if id(module) not in self._paths:  # of no module that was given: a function's own
            self._name_modules(module, type(module).__name__)
        event = _RecordFunctionFast(f"{_MODULE}{self.number(self._paths[id(module)])}")
        event.__enter__()
        self._open.append((id(module), event))

    def _exit(self, module: torch.nn.Module, _args: object, _output: object) -> None:
        if self._open and self._open[-1][0] == id(module):
            self._open.pop()[1].__exit__(None, None, None)


class _LineMode(UnseenMode):
    """Puts an event that names the user's line into every operator that is dispatched."""

    def __init__(self, places: _Places) -> None:
        super().__init__()
        self._places = places

    def watched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with _RecordFunctionFast(f"{_LINE}{self._places.number(_users_line())}"):
            pass
        return func(*args, **kwargs)


def _users_line() -> str:
    """``file.py:line`` of the innermost frame that is neither torch's nor generated; or nothing."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_OURS) and file not in _MODES:  # from here on it is whoever measures
            return ""
        if not file.startswith((_TORCH, _OURS, "<")):
            return f"{_shown(file)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _shown(file: str) -> str:
    """A file relative to the folder it was imported from, the same on every machine."""
    path = Path(file)
    folders = [Path(entry or ".").absolute() for entry in sys.path]
    inside = [folder for folder in folders if path.is_relative_to(folder)]
    if not inside:
        return path.name
    return path.relative_to(max(inside, key=lambda folder: len(folder.parts))).as_posix()
