"""The plugin as a tool: against a stored baseline, and against the committed revision."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gates.tools import Judgement, PytestTool, ToolSettings
from benchmarks.lib.injections import FILES, function_of
from benchmarks.lib.load import Watch
from benchmarks.lib.pytest_runs import Outcome, Run
from benchmarks.lib.repository import commit_project
from pytest_hiddencost.core.checks import FAIL, NEW, REGRESSION, regression
from pytest_hiddencost.core.records import Profile, Verdict

RUN_FILE = "run.json"
BASELINES = "baselines"
HEADLINE = regression("p50")
ERROR = "error"


class Baseline(PytestTool):
    """The plugin with a stored baseline."""

    name = "hiddencost-baseline"
    fixture = "hiddencost"
    plugin = "hiddencost"
    needs = "--hiddencost-baseline-dir"
    call = "hiddencost(model, image)"
    recording = ("--hiddencost-update",)
    comparing: tuple[str, ...] = (f"--hiddencost-json={RUN_FILE}",)
    both: tuple[str, ...] | None = ("--hiddencost-update-new",)

    def __init__(self, settings: ToolSettings) -> None:
        super().__init__(settings)
        time = f"--hiddencost-max-time={settings.time_s:g}s"
        self.always = (time, f"--hiddencost-baseline-dir={BASELINES}")

    def record(self, folder: Path) -> Run:
        """Commit the project, as users do, and record its baselines."""
        commit_project(folder, *FILES)
        return super().record(folder)

    def record_rest(self, folder: Path) -> Run | None:
        """Record the tests that the first run left out."""
        return self.run(folder, "--hiddencost-update-new")

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


class Against(Baseline):
    """The plugin with ``--hiddencost-against``: it measures both revisions, and records nothing."""

    name = "hiddencost-against"
    needs = "--hiddencost-against"
    comparing = ("--hiddencost-against=HEAD", "--hiddencost-tolerance=2%", *Baseline.comparing)
    both = None

    def __init__(self, settings: ToolSettings) -> None:
        super().__init__(settings)
        self.always = (f"--hiddencost-max-time={settings.time_s:g}s",)

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


def _judgement(profile: Profile | None, outcome: Outcome | None, run: Run) -> Judgement:
    if profile is None or outcome is None:
        return Judgement(ERROR, outcome.message if outcome else run.output[-2000:])
    gates = [one for one in profile.verdicts if one.check.kind == REGRESSION]
    headline = next((one for one in gates if one.check == HEADLINE), None)
    verdict, why = _verdict(gates, headline, outcome.word == "failed")
    growth = headline.measured if headline else None
    comparison = profile.comparison
    return Judgement(verdict, why, growth, comparison.reference_growth if comparison else None)


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
