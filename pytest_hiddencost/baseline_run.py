"""Baselines in one run: judging profiles while tests run, recording and looking back at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_hiddencost.errors import BaselineError
from pytest_hiddencost.records import Device, Profile, call_name
from pytest_hiddencost.regression.baselines import Baselines, split_node_id
from pytest_hiddencost.regression.entries import entry_of
from pytest_hiddencost.regression.gate import Gate
from pytest_hiddencost.regression.recording import Coverage, Note, Recording, record
from pytest_hiddencost.regression.replicas import Key, Replicas
from pytest_hiddencost.regression.selftest import (
    CAUGHT,
    MISSED,
    SelfTest,
    structure_result,
    time_result,
)
from pytest_hiddencost.report.failure import listed
from pytest_hiddencost.report.runfile import now
from pytest_hiddencost.settings import Settings
from pytest_hiddencost.tolerances import Tolerances

MOST_LISTED = 8


@dataclass(frozen=True)
class Line:
    """A line of the summary's end; ``color`` as pytest's reporter has them, or empty."""

    text: str
    color: str = ""


@dataclass(frozen=True)
class Ending:
    """What the end of the run has to say, and whether it fails the session."""

    lines: tuple[Line, ...] = ()
    failed: bool = False


class BaselineRun:
    """The regression side of a run; ``selected`` gives the node ids that this run has."""

    def __init__(
        self, settings: Settings, selected: Callable[[], Sequence[str]], plugins: frozenset[str]
    ) -> None:
        self._settings = settings
        self._selected = selected
        self._replicas = (
            None if settings.invocation is None else Replicas(settings.invocation, plugins)
        )
        self._gate: Gate | None = None
        self._store: Baselines | None = None

    @property
    def on(self) -> bool:
        """Whether baselines are looked at."""
        settings = self._settings
        elsewhere = settings.measures_only or settings.against is not None
        return settings.baseline_dir is not None and not elsewhere

    def judged(self, profile: Profile, tolerances: Tolerances, device: Device) -> Profile:
        """The profile with its verdicts against the baseline. Raises ``BaselineError``."""
        if not self.on or self._settings.update:
            return profile
        gate = self._gate_of(device)
        if self._settings.update_new and gate.entry(profile) is None:
            return profile
        return gate.judged(profile, tolerances)

    def selftests(
        self,
        profile: Profile,
        planted: Mapping[str, Profile],
        tolerances: Tolerances,
        device: Device,
    ) -> list[SelfTest]:
        """Whether the gate notices what was planted in a call. Raises ``BaselineError``."""
        if not self.on:
            return []
        from pytest_hiddencost.profiling.plants import COPIES, SLOW, SLOWER_SHARE

        gate = self._gate_of(device)
        entry = gate.entry(profile) or entry_of([profile])
        copies = gate.against(planted[COPIES], entry, Tolerances(own=tolerances.own))
        found = [structure_result(copies, COPIES)]
        slow = gate.judged(planted[SLOW], tolerances, SLOW)
        return [*found, time_result(slow, SLOW, SLOWER_SHARE)]

    def _gate_of(self, device: Device) -> Gate:
        if self._gate is None:
            settings = self._settings
            self._gate = Gate(
                self._baselines(device),
                device,
                self._selected(),
                self._replicas if settings.workers == 1 else None,
                tolerance=settings.tolerance,
                confidence=settings.sampling.confidence,
            )
        return self._gate

    def _baselines(self, device: Device) -> Baselines:
        if self._store is None:
            assert self._settings.baseline_dir is not None
            self._store = Baselines(self._settings.baseline_dir, device)
        return self._store

    def ending(
        self,
        profiles: Sequence[Profile],
        device: Device | None,
        coverage: Coverage,
        commit: Callable[[], str],
        selftests: Sequence[SelfTest],
        *,
        whole: bool,
        alone: bool,
    ) -> Ending:
        """Record what is to be recorded; say what is unused, stale, new, and not caught.

        ``whole``: the whole suite was selected. ``alone``: no other worker measured meanwhile.
        """
        if not self.on or device is None:
            return Ending()
        lines: list[Line] = []
        failed = False
        try:
            baselines = self._baselines(device)
            unused = coverage.unused(baselines)
            if self._settings.updates:
                recorded = self._recorded(
                    profiles,
                    baselines,
                    coverage,
                    commit,
                    unused if whole and self._settings.update else (),
                    alone=alone,
                )
                lines += recorded.lines
                failed = recorded.failed
                unused = [] if whole and self._settings.update else unused
        except BaselineError as error:
            return Ending((Line(f"baselines: {error}", "red"),), failed=True)
        if unused:
            lines.append(_unused_line(unused, strict=self._settings.strict))
            failed = failed or self._settings.strict
        lines += _selftest_lines(selftests)
        failed = failed or any(found.result == MISSED for found in selftests)
        return Ending(tuple(lines), failed)

    def _recorded(
        self,
        profiles: Sequence[Profile],
        baselines: Baselines,
        coverage: Coverage,
        commit: Callable[[], str],
        drop: Sequence[Key],
        *,
        alone: bool,
    ) -> Ending:
        assert self._replicas is not None
        passed = [profile for profile in profiles if profile.test in coverage.passed]
        if self._settings.update_new:
            passed = [p for p in passed if baselines.entry(*split_node_id(p.test), p.label) is None]
        done = record(
            passed,
            baselines,
            self._replicas,
            self._settings.launches,
            Note(now(), commit(), self._settings.reason),
            own=alone,
            drop=drop,
        )
        failing = sorted({p.test for p in profiles if p.test not in coverage.passed})
        return Ending(tuple(_recording_lines(done, failing, self._settings)), bool(done.refused))


def _recording_lines(done: Recording, failing: Sequence[str], settings: Settings) -> list[Line]:
    counts = [
        f"{count} {word}"
        for count, word in (
            (done.added, "added"),
            (done.rewritten, "rewritten"),
            (done.dropped, "dropped"),
        )
        if count
    ]
    what = ", ".join(counts) or "nothing to record"
    where = f" in {_shown(settings)}" if counts else ""
    lines = [Line(f"baselines: {what}{where} ({settings.launches} launches each)", "green")]
    if failing:
        lines.append(
            Line(f"not recorded, since they did not pass: {listed(failing, MOST_LISTED)}", "yellow")
        )
    for (test, label), why in sorted(done.refused.items()):
        lines.append(Line(f"not recorded: {call_name(test, label)}: {why}", "red"))
    return lines


def _shown(settings: Settings) -> str:
    """The baselines' folder as a user would write it."""
    folder = settings.baseline_dir
    root = settings.invocation.root if settings.invocation else None
    if folder is not None and root is not None and folder.is_relative_to(root):
        return folder.relative_to(root).as_posix()
    return str(folder)


def _unused_line(unused: Sequence[Key], *, strict: bool) -> Line:
    names = listed([call_name(test, label) for test, label in unused], MOST_LISTED)
    entries = "entry" if len(unused) == 1 else "entries"
    text = f"{len(unused)} unused baseline {entries}: {names}; drop with --hiddencost-update"
    return Line(text, "red" if strict else "yellow")


def _selftest_lines(selftests: Sequence[SelfTest]) -> list[Line]:
    colors = {CAUGHT: "green", MISSED: "red"}
    return [
        Line(
            f"selftest: {call_name(found.test, found.label)}: {found.plant} {found.result}"
            + (f": {found.why}" if found.why else ""),
            colors.get(found.result, "yellow"),
        )
        for found in selftests
    ]
