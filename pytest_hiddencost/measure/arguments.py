"""The arguments of a call: fresh ones from the user's setup; refusals of those that serve once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from itertools import count, cycle, repeat
from time import perf_counter_ns
from typing import TypeAlias

import torch
from torch.utils._pytree import tree_leaves

from pytest_hiddencost.core.errors import MeasurementError

# pytest hides these frames, so that an error is shown where the user called.
__tracebackhide__ = True
CallArguments: TypeAlias = tuple[tuple[object, ...], dict[str, object]]
CONTRACT = "setup() must return a tuple of arguments, (x,) for one, or (args, kwargs)"
ENDLESS = (count, cycle, repeat)  # iterators that serve every call
RUN_IT = (
    "runs no operator; pass a function that runs the model to its end, such as "
    "lambda x: asyncio.run(model(x)) or lambda x: list(model(x))"
)


class Setup:
    """The user's ``setup``, which makes the arguments of every call.

    ``spent_ns`` is the time that it has taken. Raises ``MeasurementError`` if ``setup`` is no
    callable, or if arguments are ``given`` beside it.
    """

    def __init__(self, setup: Callable[[], object], given: Collection[object]) -> None:
        if not callable(setup):
            raise MeasurementError(
                f"setup={setup!r:.60} cannot be called; {CONTRACT}; {way_out('setup')}"
            )
        if given:
            raise MeasurementError(
                "hiddencost(model, setup=...) makes the arguments of every call; return all of "
                "them from setup, and pass none beside it"
            )
        self._setup = setup
        self.spent_ns = 0

    def make(self) -> CallArguments:
        """Return positional and keyword arguments. Raises ``MeasurementError`` for other values."""
        start = perf_counter_ns()
        with torch.inference_mode(False), torch.enable_grad():  # as arguments made by the test
            found = self._setup()
        self.spent_ns += perf_counter_ns() - start
        return _checked(found)


def way_out(name: str) -> str:
    """Return how to pass an argument to the model whose name is a keyword of ours."""
    return (
        f"{name} is a keyword of hiddencost itself; for the model's own argument {name}, bind it: "
        f"hiddencost(functools.partial(model, {name}=...), x)"
    )


@contextmanager
def naming_way_out(taken: Mapping[str, bool]) -> Iterator[None]:
    """Name the way out if a model lacks an argument because a keyword of ours took it.

    ``taken`` maps each keyword of ours to whether the user gave it.
    """
    try:
        yield
    except TypeError as error:
        for name in (name for name, given in taken.items() if given):
            if "missing" in str(error) and f"'{name}'" in str(error):
                raise MeasurementError(f"{error}; {way_out(name)}") from error
        raise


def _checked(found: object) -> CallArguments:
    if not isinstance(found, tuple):
        raise MeasurementError(f"{CONTRACT}; it returned {type(found).__name__}")
    if len(found) == 2 and isinstance(found[0], tuple) and isinstance(found[1], dict):
        args, kwargs = found
        if not all(isinstance(name, str) for name in kwargs):
            raise MeasurementError(
                f"{CONTRACT}; a key of its kwargs is not text: {list(kwargs)!r:.60}"
            )
        return args, kwargs
    return found, {}


def refuse_deferred(model: Callable[..., object], name: str) -> None:
    """Raise ``MeasurementError`` for a model whose call only makes a coroutine or generator."""
    called = (model, type(model).__call__, getattr(model, "forward", None))
    kinds = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)
    if any(is_kind(function) for function in called for is_kind in kinds):
        raise MeasurementError(
            f"hiddencost(model, *args): calling {name} only makes a coroutine or generator and "
            f"{RUN_IT}"
        )


def refuse_deferred_output(output: object, name: str) -> None:
    """Raise ``MeasurementError`` if ``output`` holds a coroutine or iterator that nobody ran."""
    for leaf in tree_leaves(output):
        if isinstance(leaf, (Awaitable, Iterator, AsyncIterator)):
            close = getattr(leaf, "close", None)  # or Python warns that it was never awaited
            if close is not None:
                close()
            raise MeasurementError(f"{name} returned a {type(leaf).__name__}, so the call {RUN_IT}")


def refuse_iterators(args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    """Raise ``MeasurementError`` for an iterator among the arguments, which one call uses up."""
    for leaf in tree_leaves((args, kwargs)):
        if isinstance(leaf, Iterator) and not isinstance(leaf, ENDLESS):
            raise MeasurementError(
                f"hiddencost(model, *args): the first call uses up the {type(leaf).__name__} among "
                "the arguments, and all later calls find it empty; make it anew for every call: "
                "hiddencost(model, setup=lambda: (make_arguments(),)), or pass a list"
            )
