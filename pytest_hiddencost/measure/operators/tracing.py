"""Call sites: the module path and the line that called each root operator of a call.

Call sites come from a profiled call of their own, whose times are not used. Global hooks mark
module calls, because hooks on single modules would switch fast paths off. A dispatch mode reads
the user's line from the Python stack. Both add events of their own to the event tree, which then
shows the module and the line of each operator.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch._C._profiler import _RecordFunctionFast
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from pytest_hiddencost.measure import dispatch
from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.dispatch import UnseenMode
from pytest_hiddencost.measure.modules import compiled_in_place
from pytest_hiddencost.measure.operators.folding import CallSite, Node, is_operator
from pytest_hiddencost.measure.operators.windows import marked_call

_MODULE, _LINE = "hiddencost module ", "hiddencost line "
_TORCH = str(Path(torch.__file__).parent)
_MEASURE = str(Path(dispatch.__file__).parent)
_MODES = (__file__, dispatch.__file__)  # frames of these files lie between torch and the user


def root_call_sites(call: Call) -> list[tuple[str, CallSite]]:
    """Return the name and the call site of every root operator of ``call``, in execution order.

    The line is empty if the operator never reached the dispatcher. The module is empty if a
    function called the operator outside any module.
    """
    marks = _Marks(call)
    mark = marked_call(call, warm=False, within=marks.run).mark
    return list(_found(mark.children, list(marks.numbers), ""))


def _found(
    nodes: Sequence[Node], names: Sequence[str], module: str
) -> Iterator[tuple[str, CallSite]]:
    for node in nodes:
        name = node.name
        if is_operator(name):
            yield name, CallSite(module, _line_in(node, names))
        else:
            entered = name.startswith(_MODULE)
            inner = names[int(name.removeprefix(_MODULE))] if entered else module
            yield from _found(node.children, names, inner)


def _line_in(node: Node, names: Sequence[str]) -> str:
    """Return the first line marked inside an operator, which is the operator's own line."""
    for child in node.children:
        name = child.name
        if name.startswith(_LINE):
            return names[int(name.removeprefix(_LINE))]
        if line := _line_in(child, names):
            return line
    return ""


class _Marks(UnseenMode):
    """Marks every module call and every dispatched operator with an event.

    The event carries the number of a module path, or of the user's line.
    """

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.numbers: dict[str, int] = {}
        self._paths: dict[int, str] = {}
        self._open: list[tuple[int, Any]] = []
        self._hooks = not compiled_in_place(call)
        if call.module is not None:
            self._name_modules(call.module, "")

    def run(self, call: Callable[[], object]) -> object:
        with ExitStack() as entered:
            if self._hooks:
                entered.enter_context(register_module_forward_pre_hook(self._enter))
                hook = register_module_forward_hook(self._exit, always_call=True)
                entered.enter_context(hook)
            entered.enter_context(self)
            return call()

    def _event(self, kind: str, name: str) -> Any:
        return _RecordFunctionFast(f"{kind}{self.numbers.setdefault(name, len(self.numbers))}")

    def _name_modules(self, top: torch.nn.Module, path: str) -> None:
        for name, module in top.named_modules():
            self._paths.setdefault(id(module), ".".join(part for part in (path, name) if part))

    def _enter(self, module: torch.nn.Module, _args: object) -> None:
        if id(module) not in self._paths:  # a module that a function of the user's holds
            self._name_modules(module, type(module).__name__)
        event = self._event(_MODULE, self._paths[id(module)])
        event.__enter__()
        self._open.append((id(module), event))

    def _exit(self, module: torch.nn.Module, _args: object, _output: object) -> None:
        if self._open and self._open[-1][0] == id(module):
            self._open.pop()[1].__exit__(None, None, None)

    def watched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._event(_LINE, _users_line()):
            pass
        return func(*args, **kwargs)


def _users_line() -> str:
    """Return ``file.py:12`` of the innermost frame that is the user's; empty without one.

    Frames of torch and of generated code are skipped. The search ends at this package's frames.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_MEASURE) and file not in _MODES:  # frames beyond are of the test
            return ""
        if not file.startswith((_TORCH, _MEASURE, "<")):
            return f"{_shown(file)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _shown(file: str) -> str:
    """Return the path relative to the folder of the import, which is equal on every machine."""
    path = Path(file)
    folders = [Path(entry or ".").absolute() for entry in sys.path]
    inside = [folder for folder in folders if path.is_relative_to(folder)]
    if not inside:
        return path.name
    return path.relative_to(max(inside, key=lambda folder: len(folder.parts))).as_posix()
