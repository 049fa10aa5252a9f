"""Runs of pytest in a fresh process, and the outcome of every test."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.lib.load import Watch
from benchmarks.lib.processes import LONGEST_S, environment

USAGE_ERROR = 4
JUNIT = "junit.xml"
FAILED, BROKEN = "failed", "error"  # outcomes
WIDTH = "400"  # one line of output for each line of a message


@dataclass(frozen=True)
class Outcome:
    """A test's outcome in JUnit's file: passed, failed, error or skipped, and why; its time."""

    word: str
    message: str
    printed: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Run:
    """A finished run; ``others_cores`` were busy with other processes, injected load included."""

    code: int
    output: str
    seconds: float
    others_cores: float
    outcomes: dict[str, Outcome]

    @property
    def failed(self) -> bool:
        """Whether any test failed, or could not run."""
        return any(outcome.word in (FAILED, BROKEN) for outcome in self.outcomes.values())

    @property
    def seconds_a_test(self) -> float:
        """The mean time of a test; without JUnit's file, the time of the whole run."""
        found = [outcome.seconds for outcome in self.outcomes.values()]
        return sum(found) / len(found) if found else self.seconds

    @property
    def last_line(self) -> str:
        """Pytest's own summary: ``1 failed, 2 passed``."""
        found = re.findall(r"^=* ?((?:\d+ \w+(?:, )?)+|no tests ran) in [\d.:]+", self.output, re.M)
        return found[-1] if found else "no summary"

    def line_with(self, *patterns: str) -> str:
        """Return the first line that has the first pattern, else the next; or an empty string."""
        lines = [line.strip(" \t=-") for line in self.output.splitlines()]
        fitting = (line for pattern in patterns for line in lines if re.search(pattern, line))
        found = next(fitting, "")
        return re.sub(r"^(E|\S+:\d+:) +", "", found)  # a failure's mark, a warning's source


def run_pytest(python: str, folder: Path, arguments: Sequence[str], threads: int | None) -> Run:
    """Run pytest with this interpreter in this folder."""
    junit = folder / JUNIT
    junit.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-pno:cacheprovider", f"--junitxml={JUNIT}"]
    command += ["-ojunit_logging=system-out", *arguments]
    watch = Watch()
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment(threads), "COLUMNS": WIDTH},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    seconds, others_cores = watch.stop()
    output = done.stdout + done.stderr
    if done.returncode == USAGE_ERROR and not junit.exists() and "ERROR: usage:" in output:
        raise SystemExit(f"{' '.join(command)}\n{output}")
    return Run(done.returncode, output, seconds, others_cores, outcomes_in(junit))


def outcomes_in(junit: Path) -> dict[str, Outcome]:
    """Return every test's outcome by the name of its function."""
    if not junit.exists():
        return {}
    cases = ElementTree.parse(junit).iter("testcase")
    return {case.get("name", "").partition("[")[0]: _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> Outcome:
    word, message = "passed", ""
    for kind, meaning in (("failure", FAILED), ("error", BROKEN), ("skipped", "skipped")):
        if (node := case.find(kind)) is not None:
            word, message = meaning, f"{node.get('message', '')}\n{node.text or ''}".strip()
    seconds = float(case.get("time", 0.0))
    return Outcome(word, message, case.findtext("system-out") or "", seconds)
