"""One run of pytest in a fresh process, and what it says of every test."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

STAT = Path("/proc/stat")
LONGEST_S = 900
BENCHMARKS = Path(__file__).parent.parent
USAGE_ERROR = 4
JUNIT = "junit.xml"


@dataclass(frozen=True)
class Outcome:
    """What JUnit's file says of a test: passed, failed, error or skipped, and why."""

    word: str
    message: str
    printed: str


@dataclass(frozen=True)
class Run:
    """A finished run: exit code, what it printed, what it took, every test's outcome.

    ``others_cores``: cores that were busy with something else meanwhile, our load included.
    """

    code: int
    output: str
    seconds: float
    others_cores: float
    outcomes: dict[str, Outcome]

    @property
    def last_line(self) -> str:
        """Pytest's own summary: ``1 failed, 2 passed``."""
        found = re.findall(r"^=* ?((?:\d+ \w+(?:, )?)+|no tests ran) in [\d.:]+", self.output, re.M)
        return found[-1] if found else "no summary"

    def line_with(self, *patterns: str) -> str:
        """The first line printed that has the first pattern, else the next; or an empty string."""
        lines = [line.strip(" \t=-") for line in self.output.splitlines()]
        fitting = (line for pattern in patterns for line in lines if re.search(pattern, line))
        found = next(fitting, "")
        return re.sub(r"^(E|\S+:\d+:) +", "", found)  # a warning's source, a failure's mark


class Watch:
    """Time, and what other processes take of the machine meanwhile."""

    def __init__(self) -> None:
        self._start, self._busy_s, self._own_s = time.perf_counter(), _busy_s(), _own_s()

    def stop(self) -> tuple[float, float]:
        """Seconds since it was made, and cores that others kept busy; 0 where there is no /proc."""
        seconds = time.perf_counter() - self._start
        others_s = (_busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return seconds, max(0.0, others_s / seconds)


def _busy_s() -> float:
    if not STAT.exists():
        return 0.0
    user, nice, system, _, _, *interrupts = map(int, STAT.read_text().split()[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run_pytest(python: str, folder: Path, arguments: Sequence[str], threads: int) -> Run:
    """Run pytest with this interpreter in this folder; ``threads``: torch's own."""
    junit = folder / JUNIT
    junit.unlink(missing_ok=True)
    command = [
        python, "-m", "pytest", "-pno:cacheprovider", f"--junitxml={JUNIT}",
        "-ojunit_logging=system-out", *arguments,
    ]  # fmt: skip
    path = [str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "OMP_NUM_THREADS": str(threads),
        "COLUMNS": "400",  # one line of output for each line of a message
    }
    environment.pop("PYTEST_ADDOPTS", None)
    watch = Watch()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_S
    )
    seconds, others_cores = watch.stop()
    output = done.stdout + done.stderr
    if done.returncode == USAGE_ERROR and not junit.exists() and "ERROR: usage:" in output:
        raise SystemExit(f"{' '.join(command)}\n{output}")
    return Run(done.returncode, output, seconds, others_cores, outcomes_in(junit))


def outcomes_in(junit: Path) -> dict[str, Outcome]:
    """Every test's outcome by the name of its function."""
    if not junit.exists():
        return {}
    found = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        word, message = "passed", ""
        for kind, meaning in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
            if (node := case.find(kind)) is not None:
                word, message = meaning, f"{node.get('message', '')}\n{node.text or ''}".strip()
        name = case.get("name", "").partition("[")[0]
        found[name] = Outcome(word, message, case.findtext("system-out") or "")
    return found
