"""The mode of a run that compares with recorded baselines, and may record them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from time import monotonic

from pytest_hiddencost.core.checks import INCONCLUSIVE, PASS, REGRESSION
from pytest_hiddencost.core.errors import (
    BaselineError,
    GitError,
    HiddenCostError,
    InterleavingError,
    LacksFiles,
)
from pytest_hiddencost.core.listing import listed
from pytest_hiddencost.core.records import CallKey, Device, Profile, Verdict
from pytest_hiddencost.core.timestamps import utc_now
from pytest_hiddencost.core.tolerances import STRUCTURE, TIMED, Tolerances
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.baseline.accepted import AcceptedCommits, NoCommit
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.baseline.gate import Gate
from pytest_hiddencost.judge.baseline.nearby import folder_above
from pytest_hiddencost.judge.baseline.recording import Note, record
from pytest_hiddencost.judge.baseline.renames import Renames, find_renames
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id
from pytest_hiddencost.judge.interleaved.comparison import no_time
from pytest_hiddencost.judge.reasons import Reason
from pytest_hiddencost.judge.selftest import (
    SelfTest,
    structure_result,
    time_result,
)
from pytest_hiddencost.judge.verdicts import regressed, trend
from pytest_hiddencost.run.modes.base import (
    Ending,
    FinishedRun,
    Judgement,
    Line,
    Measurement,
    Mode,
    Request,
    with_injected,
    with_limits,
)
from pytest_hiddencost.run.modes.interleaving import Interleaving, lacks_files
from pytest_hiddencost.run.modes.recording_lines import counts_line, refused_lines, unfit_lines
from pytest_hiddencost.run.modes.selftests import selftest_line
from pytest_hiddencost.run.modes.unused import MOST_LISTED, above_line, carried_over, unused_lines
from pytest_hiddencost.run.selection import Collected
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.system.git import commit_line
from pytest_hiddencost.workers.pairs import Pairs
from pytest_hiddencost.workers.relaunches import Relaunches
from pytest_hiddencost.workers.revisions import accepted_base

# pytest leaves these frames out of tracebacks: an error is shown where the user called.
__tracebackhide__ = True
STOPPED = (
    "baselines: nothing was recorded, since you stopped the run; run it again, perhaps with fewer "
    "--hiddencost-launches"
)


class AgainstBaseline(Mode):
    """Compares each call with its baseline; records baselines and runs selftests if asked.

    If the stored times do not decide, pairs measure the call beside the commit that accepted them.
    """

    def __init__(
        self, settings: Settings, collected: Collected, interleaving: Interleaving
    ) -> None:
        assert settings.invocation is not None
        assert settings.baseline_dir is not None
        super().__init__(settings)
        self._collected = collected
        self._folder = settings.baseline_dir
        self._root = settings.invocation.root
        self._interleaving = interleaving
        self._above = folder_above(self._folder, self._root)
        self._gate: Gate | None = None
        self._commits: dict[Path, AcceptedCommits] = {}
        self._prepared = False
        self._test_s: dict[str, float] = {}

    def prepare(self) -> None:
        """Start the template of the worker processes, if this run is likely to need it."""
        settings = self._settings
        compares = settings.interleave != "never" and self._folder.is_dir()
        if compares or settings.recording.accept != "nothing" or settings.selftest:
            self._interleaving.starter.prepare()
            self._prepared = True

    @cached_property
    def _relaunches(self) -> Relaunches:
        assert self._settings.invocation is not None
        plugins = self._interleaving.plugins
        return Relaunches(
            self._settings.invocation,
            self._interleaving.starter,
            plugins,
            self.show,
            startup_s=lambda: self._collected.startup_s,
            test_s=self._test_s,
        )

    def settle(self) -> None:
        """Wait for the template of the worker processes."""
        if self._prepared:
            self.show("waiting for the template of the workers")
            self._interleaving.starter.settle()

    def measure(self, request: Request) -> Measurement:
        """Measure one call; for a selftest, measure it with each injected regression as well."""
        self.settle()
        measurement = super().measure(request)
        self._test_s[request.test] = measurement.test_s
        if not self._settings.selftest:
            return measurement
        from pytest_hiddencost.measure.injected import INJECTIONS

        profiles = {}
        for injection in INJECTIONS:
            injected = with_injected(request, injection)
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
            judged = self._judged(gate, profile, measurement)
            return Judgement(judged, self._selftests(gate, profile, measurement))
        except HiddenCostError as error:
            return Judgement(profile, error=str(error))

    def _judged(
        self, gate: Gate, profile: Profile, measurement: Measurement, injection: str = ""
    ) -> Profile:
        """Return the profile with verdicts on its regression.

        A failure of the structure is exact, so it decides alone.
        """
        stored = gate.judged(profile, measurement.tolerances, injection)
        when = self._settings.interleave
        if stored.comparison is None or when == "never" or regressed(stored.verdicts, STRUCTURE):
            return stored
        if when == "auto" and all(v.verdict == PASS for v in stored.verdicts if _timed(v)):
            return stored
        if trend(profile.varies):
            return stored  # pairs could not tell more
        others = tuple(v for v in stored.verdicts if not _timed(v))
        try:
            pairs, (base_test, base_label) = self._pairs_of(gate, profile)
            found, comparison = self._interleaving.compared(
                pairs,
                measurement,
                gate.recorded_calls,
                self.show,
                base_test=base_test,
                base_label=base_label,
                injection=injection,
            )
        except NoCommit as error:
            return replace(stored, verdicts=(*others, *_open(stored, error.reason)))
        except (InterleavingError, GitError) as error:
            reason = reasons.NOT_COMPARED.filled(why=error)
            if isinstance(error, LacksFiles):
                lacks = lacks_files(error)
                reason = replace(reasons.NOT_COMPARED.filled(why=lacks.found), remedy=lacks.remedy)
            return replace(stored, verdicts=(*others, *_open(stored, reason)))
        timed = _after_pairs(stored, found, comparison.launches)
        return replace(stored, verdicts=(*others, *timed), interleaved=comparison)

    def _pairs_of(self, gate: Gate, profile: Profile) -> tuple[Pairs, tuple[str, str | None]]:
        """Return the pairs of head and the accepted commit, and the call's names in that commit.

        Raises ``NoCommit``, ``InterleavingError`` and ``GitError``.
        """
        module, test = split_node_id(profile.test)
        file = gate.baselines.file(module)
        commits = self._commits.setdefault(file, AcceptedCommits(file, gate.baselines.folder))
        accepted = commits.of(test, profile.label)
        base = accepted_base(accepted.commit, self._root)
        base_test = f"{accepted.module or module}::{accepted.test}"
        base_label = None if accepted.label == profile.label else accepted.label
        return self._interleaving.of(base), (base_test, base_label)

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
        slow = self._judged(gate, measurement.injected[SLOW], measurement, SLOW)
        return structure_result(copies, COPIES), time_result(slow, SLOW, SLOWER_SHARE)

    def _gate_of(self, device: Device) -> Gate:
        if self._gate is None:
            settings = self._settings
            alone = settings.xdist_workers == 1
            never_pairs = settings.interleave == "never"
            self._gate = Gate(
                Baselines(self._folder, device),
                device,
                self._collected.ids,
                self._relaunches if alone and never_pairs else None,
                tolerance=settings.tolerance,
                confidence=settings.sampling.confidence,
                root=self._root.resolve(),
                energy_relauncher=self._relaunches if alone else None,  # pairs measure no energy
            )
        return self._gate

    def end(self, run: FinishedRun) -> Ending:
        """Record baselines if the settings ask for it; list unused entries and selftests."""
        if run.device is None:
            return Ending()
        accept = self._settings.recording.accept
        self._test_s |= run.test_s
        lines: list[Line] = [] if self._above is None else [above_line(self._folder, self._above)]
        try:
            baselines = self._gate_of(run.device).baselines
            unused, renames = run.coverage.unused(baselines), Renames()
            rename = self._settings.recording.rename
            drop: list[CallKey] = []
            if run.whole and accept == "all":
                drop, unused = unused, []
            elif accept != "all":
                others = run.coverage.other_models(baselines) if rename else []
                old = list(dict.fromkeys([*unused, *others]))
                renames = find_renames(old, run.profiles, baselines)
            if rename:
                lines += carried_over(baselines, renames.likely)
                unused = run.coverage.unused(baselines)
                renames = replace(renames, likely=())
            if accept != "nothing":
                lines += self._recorded(run, baselines, drop)
        except BaselineError as error:
            return Ending((Line(f"baselines: {error}", "red"),))
        except KeyboardInterrupt:  # the summary of the measured calls comes all the same
            return Ending((Line(STOPPED, "red"),))
        lines += [Line(text, "yellow") for text in self._interleaving.remarks()]
        strict, recorded = self._settings.strict, accept == "new"
        lines += unused_lines(unused, renames, strict=strict, recorded=recorded)
        return Ending((*lines, *map(selftest_line, run.selftests)))

    def close(self) -> None:
        """End the worker processes; remove the trees."""
        self._interleaving.close()

    def _recorded(
        self, run: FinishedRun, baselines: Baselines, drop: Sequence[CallKey]
    ) -> list[Line]:
        """Record the calls of tests that passed; return the lines of the summary on it."""
        recording = self._settings.recording
        passed = [profile for profile in run.profiles if profile.test in run.coverage.passed]
        if recording.accept == "new":
            passed = [p for p in passed if baselines.entry(*split_node_id(p.test), p.label) is None]
        begun_s = monotonic()
        done = record(
            passed,
            baselines,
            self._relaunches,
            recording.launches,
            Note(utc_now(), commit_line(self._root), recording.reason),
            own=run.alone,
            drop=drop,
        )
        folder = self._folder
        if folder.is_relative_to(self._root):  # as a user would write it
            folder = folder.relative_to(self._root)
        took_s = monotonic() - begun_s
        lines = [counts_line(done, folder, recording.launches, took_s)]
        if failing := sorted({p.test for p in run.profiles} - run.coverage.passed):
            names = listed(failing, MOST_LISTED)
            text = f"not recorded, since they did not pass: {names}; mend these tests first"
            lines.append(Line(text, "yellow"))
        lines += [*unfit_lines(done), *refused_lines(done)]
        return lines


def _timed(verdict: Verdict) -> bool:
    """Return whether a verdict is on the growth of a time."""
    return verdict.check.kind == REGRESSION and verdict.check.key in TIMED


def _open(stored: Profile, reason: Reason) -> tuple[Verdict, ...]:
    """Return the stored verdicts on times; those that are open get this reason."""
    return tuple(_with_reason(v, reason) for v in stored.verdicts if _timed(v))


def _with_reason(verdict: Verdict, reason: Reason) -> Verdict:
    """Return the verdict; one that is open gets this reason."""
    if verdict.verdict != INCONCLUSIVE:
        return verdict
    return replace(verdict, reason=reason.found, remedy=reason.remedy)


def _after_pairs(stored: Profile, found: Sequence[Verdict], pairs: int) -> tuple[Verdict, ...]:
    """Return the pairs' verdicts on times; the stored one on a time that no pair knows."""
    of_pairs = {v.check.key: v for v in found if _timed(v)}
    of_stored = [v for v in stored.verdicts if _timed(v)]
    kept = {
        v.check.key: _with_reason(v, no_time(v.check.key, pairs, pairs))
        for v in of_stored
        if v.check.key not in of_pairs
    }
    return (*of_pairs.values(), *kept.values())
