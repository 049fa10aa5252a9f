"""The results of one kind of device in a fleet: its summary, its files, its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_hiddencost.core.checks import INCONCLUSIVE
from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.fleet.recorded_entries import RecordedEntry, write_entries
from pytest_hiddencost.judge.baseline.renames import Renames
from pytest_hiddencost.judge.baseline.store import Baselines, RecordedCall, split_node_id
from pytest_hiddencost.report.terminal import verdict_of
from pytest_hiddencost.run.modes.base import Color, Ending, Line
from pytest_hiddencost.run.modes.selftests import selftest_line
from pytest_hiddencost.run.modes.unused import unused_lines
from pytest_hiddencost.run.output_files import Written, write_output_files
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import OUTPUT_FILES, Settings

if TYPE_CHECKING:
    import pytest

SAYS_LITTLE = "green"
MOST_DEVICES = 2  # named in a row


@dataclass
class KindOfDevice:
    """The answers of devices of one kind; ``lost`` has the reasons of tests without an answer."""

    kind: str
    results: Results
    lost: dict[str, str] = field(default_factory=dict)
    devices: dict[str, None] = field(default_factory=dict)
    entries: list[RecordedEntry] = field(default_factory=list)
    lines: dict[tuple[str, str], None] = field(default_factory=dict)
    written: Written = Written()  # noqa: RUF009  # frozen, so shared safely

    @property
    def failed(self) -> bool:
        """Whether a test failed on this kind, or has no answer from it."""
        return bool(self.lost) or "failed" in self.results.outcomes.values()

    def row(self) -> list[str]:
        """Return the row of the fleet's table."""
        outcomes = list(self.results.outcomes.values())
        undecided = {p.test for p in self.results.in_order() if verdict_of(p) == INCONCLUSIVE}
        counts = [outcomes.count(word) for word in ("passed", "failed", "skipped")]
        names = listed(list(self.devices), MOST_DEVICES) or "-"
        return [self.kind, names, *map(str, counts), str(len(undecided) + len(self.lost))]

    def end(self, config: pytest.Config, settings: Settings, folder: Path | None) -> bool:
        """Write baselines and files; return whether the session fails for it."""
        lines = [Line(text, _color(color)) for text, color in self.lines if color != SAYS_LITTLE]
        if folder is not None:
            lines += self._end_baselines(settings, folder)
        run = self.results.finished()
        lines += map(selftest_line, run.selftests)
        self.results.ending = Ending(tuple(lines))
        if self.results.device is not None:
            own = settings_of_kind(settings, self.kind)
            self.written = write_output_files(own, self.results, config.rootpath)
        return self.results.ending.failed or bool(self.written.errors)

    def _end_baselines(self, settings: Settings, folder: Path) -> list[Line]:
        """Write what the devices recorded, and drop or list unused entries."""
        recording, run = settings.recording, self.results.finished()
        lines: list[Line] = []
        try:
            if recording.accept != "nothing":
                count, files = write_entries(folder, self.entries)
                text = (
                    f"{count} recorded, {len(files)} files changed"
                    if count
                    else "nothing to record"
                )
                lines.append(Line(f"baselines of {self.kind}: {text}", "green"))
            for device, _ in self.results.by_device():
                baselines = Baselines(folder, device)
                unused = run.coverage.unused(baselines)
                if run.whole and recording.accept == "all":
                    drop: dict[RecordedCall, None] = {
                        (*split_node_id(test), label): None for test, label in unused
                    }
                    baselines.update(drop)
                else:
                    recorded = recording.accept == "new"
                    strict = settings.strict
                    lines += unused_lines(unused, Renames(), strict=strict, recorded=recorded)
            return lines
        except HiddenCostError as error:
            return [*lines, Line(f"baselines of {self.kind}: {error}", "red")]


def settings_of_kind(settings: Settings, kind: str) -> Settings:
    """Return the settings with the paths of this kind's files: ``run.KIND.json``."""
    paths: dict[str, Any] = {}
    for name in OUTPUT_FILES:
        path: Path | None = getattr(settings, name)
        paths[name] = None if path is None else path.with_name(f"{path.stem}.{kind}{path.suffix}")
    return replace(settings, **paths)


def _color(color: str) -> Color:
    return "red" if color == "red" else "yellow"


def fleet_table(kinds: Sequence[KindOfDevice]) -> list[str]:
    """Return the table of the fleet: a row for each kind of device."""
    from tabulate import tabulate

    headers = ["device", "names", "passed", "failed", "skipped", "inconclusive"]
    align = ("left", "left", "right", "right", "right", "right")
    rows = [kind.row() for kind in kinds]
    table = tabulate(rows, headers, tablefmt="simple", colalign=align, disable_numparse=True)
    return [line.rstrip() for line in table.splitlines()]
