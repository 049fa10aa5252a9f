"""Results files: one line of JSON per measurement, appended, so that a rerun continues."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.lib.repository import code_commit

Case = Mapping[str, Any]
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """Code, machine and options of a measurement; older lines lack commit and machine."""

    commit: str | None
    dirty: bool
    machine: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One measurement: the ``number``-th repetition of a case."""

    date: str | None
    facts: Facts
    case: Case
    number: int
    figures: Figures

    def to_json(self) -> str:
        """Return the line's text, without the line end."""
        rest = {"case": self.case, "number": self.number, "figures": self.figures}
        return json.dumps({"date": self.date, **asdict(self.facts), **rest})

    @classmethod
    def from_json(cls, text: str) -> Line:
        """Return the line that ``to_json`` wrote."""
        found = json.loads(text)
        facts = Facts(*(found[name] for name in ("commit", "dirty", "machine", "options")))
        return cls(found["date"], facts, found["case"], found["number"], found["figures"])


class Log:
    """A results file, and the facts that new lines get."""

    def __init__(self, path: Path, facts: Facts) -> None:
        self._path, self._facts = path, facts
        lines = read(path)
        self._done = {_key(line.case, line.number) for line in lines if line.facts == facts}

    def has(self, case: Case, number: int) -> bool:
        """Return whether this measurement was made by the same code, machine and options."""
        return _key(case, number) in self._done

    def add(self, found: Iterable[tuple[Case, int, Figures]]) -> None:
        """Append these measurements, all or none."""
        lines = [Line(now(), self._facts, *measurement) for measurement in found]
        text = "".join(line.to_json() + "\n" for line in lines)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            # A killed run may have left half a line.
            file.write(("" if _ends_a_line(self._path) else "\n").encode() + text.encode())
            file.flush()
            os.fsync(file.fileno())
        self._done |= {_key(line.case, line.number) for line in lines}


def current_facts(options: Mapping[str, Any]) -> Facts:
    """Return the facts of a measurement made now, in this checkout, on this machine."""
    import torch

    from pytest_hiddencost.measure.device.description import describe_device

    device = describe_device(torch.device("cpu"))
    machine = {
        "processor": device.model,
        "cores": device.cores,
        "python": device.python,
        "torch": device.torch,
    }
    return Facts(*code_commit(), machine, options)


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(path: Path) -> list[Line]:
    """Return the lines of a file, without the rest of a line that a killed run left."""
    return list(_lines(path)) if path.exists() else []


def comparable(lines: Sequence[Line], *, every_commit: bool = False) -> list[list[Line]]:
    """Return the lines by machine and options.

    Each case has the lines of its newest commit, or those of ``every_commit``.
    """
    sets: dict[str, list[Line]] = {}
    for line in lines:
        key = json.dumps([line.facts.machine, line.facts.options], sort_keys=True)
        sets.setdefault(key, []).append(line)
    return [of_set if every_commit else _newest(of_set) for of_set in sets.values()]


def _newest(lines: Sequence[Line]) -> list[Line]:
    newest = {_key(line.case): line.facts for line in lines}
    return [line for line in lines if line.facts == newest[_key(line.case)]]


def _lines(path: Path) -> Iterator[Line]:
    for text in path.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            yield Line.from_json(text)


def _key(case: Case, number: int = 0) -> str:
    return json.dumps([case, number], sort_keys=True)


def _ends_a_line(path: Path) -> bool:
    return not path.stat().st_size or path.read_bytes().endswith(b"\n")
