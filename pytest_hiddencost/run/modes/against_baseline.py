"""The mode of a run that compares with recorded baselines, and may record them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_hiddencost.core.errors import BaselineError, HiddenCostError
from pytest_hiddencost.core.records import CallKey, Device, Profile, call_name
from pytest_hiddencost.core.timestamps import utc_now
from pytest_hiddencost.core.tolerances import Tolerances
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.baseline.gate import Gate
from pytest_hiddencost.judge.baseline.recording import Note, Recording, record
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id
from pytest_hiddencost.judge.selftest import (
    CAUGHT,
    MISSED,
    POWERLESS,
    Result,
    SelfTest,
    structure_result,
    time_result,
)
from pytest_hiddencost.report.wording import listed
from pytest_hiddencost.run.modes.base import (
    Color,
    Ending,
    FinishedRun,
    Judgement,
    Line,
    Measurement,
    Mode,
    Request,
    with_limits,
)
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.git import commit_line
from pytest_hiddencost.workers.relaunches import Relaunches

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
MOST_LISTED = 8


class AgainstBaseline(Mode):
    """Compares each call with its baseline; records baselines and runs selftests if asked."""

    def __init__(self, settings: Settings, collected: Collected, plugins: frozenset[str]) -> None:
        assert settings.invocation is not None
        assert settings.baseline_dir is not None
        super().__init__(settings)
        self._collected = collected
        self._folder = settings.baseline_dir
        self._root = settings.invocation.root
        self._relaunches = Relaunches(settings.invocation, plugins)
        self._gate: Gate | None = None

    def measure(self, request: Request) -> Measurement:
        """Measure one call; for a selftest, measure it with each injected regression as well."""
        measurement = super().measure(request)
        if not self._settings.selftest:
            return measurement
        from pytest_hiddencost.measure.injected import INJECTIONS, with_injection

        profiles = {}
        for injection in INJECTIONS:
            injected = replace(request, call=with_injection(request.call, injection))
            profiles[injection] = self._measured(injected, self._settings.sampling).profile
        return replace(measurement, injected=profiles)

    def judge(self, measurement: Measurement) -> Judgement:
        """Check the budget, then compare with the baseline."""
        profile = with_limits(measurement)
        accept = self._settings.recording.accept
        if accept == "all":
            return Judgement(profile)
        try:
            gate = self._gate_of(measurement.device)
            if accept == "new" and gate.entry(profile) is None:
                return Judgement(profile)
            profile = gate.judged(profile, measurement.tolerances)
            return Judgement(profile, self._selftests(gate, profile, measurement))
        except HiddenCostError as error:
            return Judgement(profile, error=str(error))

    def _selftests(
        self, gate: Gate, profile: Profile, measurement: Measurement
    ) -> tuple[SelfTest, ...]:
        """Return whether the gate notices each injected regression."""
        from pytest_hiddencost.measure.injected import COPIES, SLOW, SLOWER_SHARE

        if not measurement.injected:
            return ()
        allowed = measurement.tolerances
        entry = gate.entry(profile) or entry_of([profile])
        copies = gate.against(measurement.injected[COPIES], entry, Tolerances(own=allowed.own))
        slow = gate.judged(measurement.injected[SLOW], allowed, SLOW)
        return structure_result(copies, COPIES), time_result(slow, SLOW, SLOWER_SHARE)

    def _gate_of(self, device: Device) -> Gate:
        if self._gate is None:
            settings = self._settings
            self._gate = Gate(
                Baselines(self._folder, device),
                device,
                self._collected.ids,
                self._relaunches if settings.xdist_workers == 1 else None,
                tolerance=settings.tolerance,
                confidence=settings.sampling.confidence,
            )
        return self._gate

    def end(self, run: FinishedRun) -> Ending:
        """Record baselines if the settings ask for it; list unused entries and selftests."""
        if run.device is None:
            return Ending()
        accept = self._settings.recording.accept
        lines: list[Line] = []
        try:
            baselines = self._gate_of(run.device).baselines
            unused = run.coverage.unused(baselines)
            drop: list[CallKey] = []
            if run.whole and accept == "all":
                drop, unused = unused, []
            if accept != "nothing":
                lines += self._recorded(run, baselines, drop)
        except BaselineError as error:
            return Ending((Line(f"baselines: {error}", "red"),))
        if unused:
            lines.append(self._unused_line(unused))
        return Ending((*lines, *map(_selftest_line, run.selftests)))

    def _recorded(
        self, run: FinishedRun, baselines: Baselines, drop: Sequence[CallKey]
    ) -> list[Line]:
        """Record the calls of tests that passed; return what the summary says about it."""
        recording = self._settings.recording
        passed = [profile for profile in run.profiles if profile.test in run.coverage.passed]
        if recording.accept == "new":
            passed = [p for p in passed if baselines.entry(*split_node_id(p.test), p.label) is None]
        done = record(
            passed,
            baselines,
            self._relaunches,
            recording.launches,
            Note(utc_now(), commit_line(self._root), recording.reason),
            own=run.alone,
            drop=drop,
        )
        lines = [self._counts_line(done)]
        if failing := sorted({p.test for p in run.profiles} - run.coverage.passed):
            names = listed(failing, MOST_LISTED)
            text = f"not recorded, since they did not pass: {names}; mend these tests first"
            lines.append(Line(text, "yellow"))
        for (test, label), why in sorted(done.refused.items()):
            lines.append(Line(f"not recorded: {call_name(test, label)}: {why}", "red"))
        return lines

    def _counts_line(self, done: Recording) -> Line:
        found = {"added": done.added, "rewritten": done.rewritten, "dropped": done.dropped}
        counts = ", ".join(f"{count} {word}" for word, count in found.items() if count)
        folder = self._folder
        if folder.is_relative_to(self._root):  # as a user would write it
            folder = folder.relative_to(self._root)
        what = f"{counts} in {folder.as_posix()}" if counts else "nothing to record"
        launches = self._settings.recording.launches
        return Line(f"baselines: {what} ({launches} launches each)", "green")

    def _unused_line(self, unused: Sequence[CallKey]) -> Line:
        names = listed([call_name(test, label) for test, label in unused], MOST_LISTED)
        entries = "entry" if len(unused) == 1 else "entries"
        text = f"{len(unused)} unused baseline {entries}: {names}; drop with --hiddencost-update"
        return Line(text, "red" if self._settings.strict else "yellow")


_SELFTEST_COLORS: dict[Result, Color] = {CAUGHT: "green", MISSED: "red", POWERLESS: "yellow"}


def _selftest_line(found: SelfTest) -> Line:
    name = call_name(found.test, found.label)
    why = f": {found.why}" if found.why else ""
    text = f"selftest: {name}: {found.injection} {found.result}{why}"
    return Line(text, _SELFTEST_COLORS[found.result])
