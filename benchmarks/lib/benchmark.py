"""A benchmark: a program that measures, its settings, and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.lib.log import Case, Figures, Line, Log
from benchmarks.lib.processes import fresh, say
from benchmarks.lib.tables import Table


@dataclass(frozen=True)
class Setting:
    """An option of one benchmark, ``--NAME``, with its default in the full and the short form.

    ``known``: the option takes some of these names, separated by commas. ``recorded``: the value
    is part of each line, and lines with other values are not compared.
    """

    name: str
    help: str
    full: Any
    short: Any
    known: tuple[str, ...] = ()
    recorded: bool = False


@dataclass(frozen=True)
class Measuring:
    """One run of a benchmark: its settings, and the results file that it appends to.

    ``threads`` is None where threads are part of the case: ``own`` has the words then.
    """

    log: Log
    short: bool
    models: tuple[str, ...]
    processes: int
    threads: int | None
    own: Mapping[str, Any]

    def measure(
        self, cases: Sequence[Case], number: int, figures: Callable[[], Iterable[Figures]]
    ) -> None:
        """Measure cases together, unless the results file has all of them."""
        if all(self.log.has(case, number) for case in cases):
            return
        say(f"{number + 1} of {self.processes}: {_words(cases)}")
        found = list(figures())
        self.log.add([(case, number, of_case) for case, of_case in zip(cases, found, strict=True)])

    def repeat(self, cases: Sequence[Case], figures: Callable[[Case, int], Figures]) -> None:
        """Measure each case ``processes`` times, all cases before any is repeated."""
        for number in range(self.processes):
            for case in cases:
                self.measure([case], number, partial(_listed, figures, case, number))

    def in_fresh_processes(
        self, function: Callable[..., Figures], cases: Sequence[Case], **more: object
    ) -> None:
        """Repeat each case, with the function called in a process of its own each time."""

        def figures(case: Case, _: int) -> Figures:
            arguments = {key: value for key, value in case.items() if key != "part"}
            found: Figures = fresh(function, {**arguments, **more}, self.threads)
            return found

        self.repeat(cases, figures)


@dataclass(frozen=True)
class Benchmark:
    """A program, its tables, and the defaults of the common options: full and short form.

    ``counted`` makes tables of outcomes that are counted over all machines. Such a benchmark keeps
    the lines of every commit in its tables: remove the older lines when the outcomes change.
    """

    run: Callable[[Measuring], None]
    tables: Callable[[Sequence[Line]], Iterable[Table]]
    processes: tuple[int, int]
    models: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    known_models: tuple[str, ...] = ()
    threads: int | None = None
    own: tuple[Setting, ...] = ()
    counted: Callable[[Sequence[Line]], Iterable[Table]] | None = None


def _listed(figures: Callable[[Case, int], Figures], case: Case, number: int) -> Iterable[Figures]:
    return [figures(case, number)]


def _words(cases: Sequence[Case]) -> str:
    first = ", ".join(str(value) for value in cases[0].values())
    return first if len(cases) == 1 else f"{first} and {len(cases) - 1} more"
