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
    Request,
    measured,
    with_limits,
)
from pytest_hiddencost.run.modes.budgets_only import BudgetsOnly
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.git import commit_line
from pytest_hiddencost.workers.relaunches import Relaunches

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
MOST_LISTED = 8


class AgainstBaseline(BudgetsOnly):
    """Compares each call with its baseline; records, selftests and looks back if asked."""

    def __init__(self, settings: Settings, collected: Collected, plugins: frozenset[str]) -> None:
        assert settings.invocation is not None
        assert settings.baseline_dir is not None
        super().__init__(settings)
        self._collected = collected
        self._folder = settings.baseline_dir
        self._root = settings.invocation.root
        self._relaunches = Relaunches(settings.invocation, plugins)
        self._gate: Gate | None = None
        self._store: Baselines | None = None

    def measure(self, request: Request) -> Measurement:
        """Measure one call; with regressions injected as well, for a selftest."""
        measurement = super().measure(request)
        if not self._settings.selftest:
            return measurement
        return self._measurement(request, measurement.profile, self._injected(request))

    def _injected(self, request: Request) -> dict[str, Profile]:
        from pytest_hiddencost.measure.injected import INJECTIONS, with_injection

        return {
            injection: measured(
                replace(request, call=with_injection(request.call, injection)),
                self._settings,
                self._settings.sampling,
            )
            for injection in INJECTIONS
        }

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
                self._baselines(device),
                device,
                self._collected.ids,
                self._relaunches if settings.xdist_workers == 1 else None,
                tolerance=settings.tolerance,
                confidence=settings.sampling.confidence,
            )
        return self._gate

    def _baselines(self, device: Device) -> Baselines:
        if self._store is None:
            self._store = Baselines(self._folder, device)
        return self._store

    # --- the end of the session ---------------------------------------------------------------

    def end(self, run: FinishedRun) -> Ending:
        """Record what is to be recorded; list unused entries and selftests."""
        if run.device is None:
            return Ending()
        accept = self._settings.recording.accept
        try:
            baselines = self._baselines(run.device)
            unused = run.coverage.unused(baselines)
            drops = run.whole and accept == "all"
            recorded = Ending()
            if accept != "nothing":
                recorded = self._recorded(run, baselines, unused if drops else ())
        except BaselineError as error:
            return Ending((Line(f"baselines: {error}", "red"),), failed=True)
        left = self._unused([] if drops else unused)
        missed = any(found.result == MISSED for found in run.selftests)
        return Ending(
            (*recorded.lines, *left.lines, *_selftest_lines(run.selftests)),
            failed=recorded.failed or left.failed or missed,
        )

    def _recorded(self, run: FinishedRun, baselines: Baselines, drop: Sequence[CallKey]) -> Ending:
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
        failing = sorted({p.test for p in run.profiles if p.test not in run.coverage.passed})
        return Ending(tuple(self._recording_lines(done, failing)), bool(done.refused))

    def _recording_lines(self, done: Recording, failing: Sequence[str]) -> list[Line]:
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
        where = f" in {self._shown_folder()}" if counts else ""
        launches = self._settings.recording.launches
        lines = [Line(f"baselines: {what}{where} ({launches} launches each)", "green")]
        if failing:
            names = listed(failing, MOST_LISTED)
            lines.append(Line(f"not recorded, since they did not pass: {names}", "yellow"))
        for (test, label), why in sorted(done.refused.items()):
            lines.append(Line(f"not recorded: {call_name(test, label)}: {why}", "red"))
        return lines

    def _shown_folder(self) -> str:
        """The baselines' folder as a user would write it."""
        if self._folder.is_relative_to(self._root):
            return self._folder.relative_to(self._root).as_posix()
        return str(self._folder)

    def _unused(self, unused: Sequence[CallKey]) -> Ending:
        if not unused:
            return Ending()
        strict = self._settings.strict
        names = listed([call_name(test, label) for test, label in unused], MOST_LISTED)
        entries = "entry" if len(unused) == 1 else "entries"
        text = f"{len(unused)} unused baseline {entries}: {names}; drop with --hiddencost-update"
        return Ending((Line(text, "red" if strict else "yellow"),), failed=strict)


_SELFTEST_COLORS: dict[Result, Color] = {CAUGHT: "green", MISSED: "red", POWERLESS: "yellow"}


def _selftest_lines(selftests: Sequence[SelfTest]) -> list[Line]:
    lines = []
    for found in selftests:
        name = call_name(found.test, found.label)
        why = f": {found.why}" if found.why else ""
        text = f"selftest: {name}: {found.injection} {found.result}{why}"
        lines.append(Line(text, _SELFTEST_COLORS[found.result]))
    return lines
