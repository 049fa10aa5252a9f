"""The plugin as a tool: against a stored baseline, and against the committed revision."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gates.tools import Judgement, PytestTool, ToolSettings
from benchmarks.lib.injections import FILES, function_of
from benchmarks.lib.load import Watch
from benchmarks.lib.pytest_runs import FAILED, Outcome, Run
from benchmarks.lib.repository import commit_project
from pytest_hiddencost.core.checks import FAIL, NEW, PASS, REGRESSION, regression
from pytest_hiddencost.core.records import Profile, Verdict

RUN_FILE = "run.json"
JSON = f"--hiddencost-json={RUN_FILE}"
BASELINES = "baselines"
HEADLINE = regression("p50")
DECIDED = (PASS, FAIL)
ERROR = "error"


class Baseline(PytestTool):
    """The plugin with a stored baseline."""

    name = "hiddencost-baseline"
    fixture = "hiddencost"
    plugin = "hiddencost"
    needs = "--hiddencost-baseline-dir"
    call = "hiddencost(model, image)"
    recording = ("--hiddencost-update",)
    comparing: tuple[str, ...] = ()
    both: tuple[str, ...] | None = ("--hiddencost-update-new",)

    def __init__(self, settings: ToolSettings) -> None:
        super().__init__(settings)
        time = f"--hiddencost-max-time={settings.time_s:g}s"
        self.always = (time, JSON, f"--hiddencost-baseline-dir={BASELINES}")

    def record(self, folder: Path) -> Run:
        """Commit the project, as users do, record its baselines, and commit those."""
        commit_project(folder, *FILES)
        return self._committed(folder, super().record(folder))

    def record_rest(self, folder: Path) -> Run | None:
        """Record the tests that the first run left out."""
        return self._committed(folder, self.run(folder, "--hiddencost-update-new"))

    def _committed(self, folder: Path, run: Run) -> Run:
        if (folder / BASELINES).is_dir():
            commit_project(folder, BASELINES)
        return run

    def entries(self, folder: Path) -> int:
        """Count the entries of the baseline files."""
        files = (folder / BASELINES).rglob("*.json")
        return sum(file.read_text(encoding="utf-8").count('"p50_ns"') for file in files)

    def compare(self, folder: Path) -> Run:
        """Compare every test, and write a run file."""
        (folder / RUN_FILE).unlink(missing_ok=True)
        return super().compare(folder)

    def judgements(self, run: Run, folder: Path, models: Sequence[str]) -> Mapping[str, Judgement]:
        """Read the verdicts from the run file."""
        file = folder / RUN_FILE
        found = json.loads(file.read_text(encoding="utf-8"))["profiles"] if file.exists() else []
        profiles = map(Profile.from_dict, found)
        by_test = {profile.test.partition("::")[2]: profile for profile in profiles}
        tests = {model: function_of(model) for model in models}
        return {
            model: _judgement(by_test.get(test), run.outcomes.get(test), run)
            for model, test in tests.items()
        }


class Interleaved(Baseline):
    """The plugin with a stored baseline: it interleaves times that the baseline leaves open."""

    name = "hiddencost-stored"
    shares_records_of = Baseline.name
    needs = "--hiddencost-interleave"


class Never(Interleaved):
    """The plugin with a stored baseline and nothing else."""

    name = "hiddencost-never"
    comparing = ("--hiddencost-interleave=never",)


class Against(Baseline):
    """The plugin with ``--hiddencost-against``: it measures both revisions, and records nothing."""

    name = "hiddencost-against"
    shares_records_of = name
    needs = "--hiddencost-against"
    comparing: tuple[str, ...] = ("--hiddencost-against=HEAD",)
    both = None

    def __init__(self, settings: ToolSettings) -> None:
        super().__init__(settings)
        self.always = (f"--hiddencost-max-time={settings.time_s:g}s", JSON)

    def record(self, folder: Path) -> Run:
        """Commit the project."""
        watch = Watch()
        commit_project(folder, *FILES)
        return Run(0, "", *watch.stop(), {})

    def record_rest(self, folder: Path) -> None:
        """Return nothing: a commit holds all tests."""

    def entries(self, folder: Path) -> int:
        """Return whether there is a commit."""
        return int((folder / ".git").is_dir())


class AgainstTight(Against):
    """The plugin with ``--hiddencost-against`` and a tolerance of 2 %."""

    name = "hiddencost-against-2%"
    comparing = (*Against.comparing, "--hiddencost-tolerance=2%")


def _judgement(profile: Profile | None, outcome: Outcome | None, run: Run) -> Judgement:
    if profile is None or outcome is None:
        return Judgement(ERROR, outcome.message if outcome else run.output[-2000:])
    gates = [one for one in profile.verdicts if one.check.kind == REGRESSION]
    headlines = [one for one in gates if one.check == HEADLINE]
    headline = next((one for one in headlines if one.verdict in DECIDED), None)
    headline = headline or next(iter(headlines), None)
    verdict, why = _verdict(gates, headline, outcome.word == FAILED)
    if run.code != int(run.failed):
        verdict, why = ERROR, f"exit status {run.code}, {run.last_line}"
    turns = profile.interleaved
    in_turns = _growths(turns.interval) if turns else None
    return Judgement(
        verdict,
        why,
        headline.measured if headline else None,
        in_turns or (headline.interval if headline else None),
        profile.latency.median_ns / 1e6,
        turns is not None,
        _growths(turns.non_mac_interval) if turns else None,
    )


def _growths(ratios: tuple[float, float] | None) -> tuple[float, float] | None:
    return (ratios[0] - 1, ratios[1] - 1) if ratios else None


def _verdict(
    gates: Sequence[Verdict], headline: Verdict | None, test_failed: bool
) -> tuple[str, str]:
    """Return the verdict on p50, or a failure of any regression check, and the reason."""
    failed = [one for one in gates if one.verdict == FAIL]
    if bool(failed) != test_failed:
        # A verdict that does not reach the user is none.
        return ERROR, f"the test {'failed' if test_failed else 'passed'}, its checks did not"
    if failed:
        return FAIL, "; ".join(map(_text, failed))
    if headline is None:
        unrecorded = any(one.verdict == NEW for one in gates)
        return (NEW if unrecorded else ERROR), "no verdict on p50"
    return headline.verdict, _text(headline)


def _text(verdict: Verdict) -> str:
    is_share = verdict.unit == "share" and verdict.measured is not None
    share = f" {100 * verdict.measured:+.1f} %" if is_share and verdict.measured else ""
    return f"{verdict.gate}{share}: {verdict.reason}"
