"""The results file: one line of JSON for every finished comparison, so that a rerun continues."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class Log:
    """Lines of one configuration in a file; a line cut off by a killed run is left out."""

    def __init__(self, path: Path, configuration: Mapping[str, Any]) -> None:
        self.path = path
        self.lines = list(_lines(path))
        known = next(
            (line["configuration"] for line in self.lines if "configuration" in line), None
        )
        if known is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.add([{"configuration": dict(configuration)}])
        elif known != configuration:
            raise SystemExit(
                f"{path} holds results of another configuration: {known}\nnow: {configuration}\n"
                "continue it with the same options, or name another file with --results"
            )

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append these lines, all or none."""
        new = [dict(line) for line in lines]
        text = "".join(json.dumps(line) + "\n" for line in new)
        with self.path.open("ab+") as file:
            if file.tell() and not _ends_a_line(self.path):
                text = "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self.lines += new

    def comparisons(self) -> list[Line]:
        """One test judged once by one tool."""
        return [line for line in self.lines if "plant" in line]

    def refused(self, tool: str, condition: str | None = None) -> list[Line]:
        """Recordings that stored nothing."""
        return [
            line
            for line in self.lines
            if line.get("refused") == tool and condition in (None, line["condition"])
        ]

    def findings(self) -> list[Line]:
        """One situation and one tool."""
        return [line for line in self.lines if "situation" in line]


def _lines(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
