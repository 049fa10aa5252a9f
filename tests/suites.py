"""Small suites that use the plugin, run in this process or in one of their own."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import pytest
import torch

import pytest_hiddencost.measure
import pytest_hiddencost.run.session
from pytest_hiddencost import Profile, Sampling, profile
from pytest_hiddencost.measure import Call
from pytest_hiddencost.measure.device import health, load

# A run in this process forgets the modules it imported, and torch cannot be imported twice: have
# everything in memory first, what torch imports on first use included.
assert pytest_hiddencost.run.session
profile(torch.nn.Linear(2, 2).eval(), torch.ones(1, 2), sampling=Sampling(1_000_000))
gc.freeze()  # every run collects garbage several times; what is here by now is none

RUN_FILE = "run.json"
JSON = f"--hiddencost-json={RUN_FILE}"
JUNIT = "junit.xml"
SHORT = "--hiddencost-max-time=30ms"
BRIEF = "--hiddencost-max-time=5ms"  # for tests to which no time matters
NO_BASELINES = "--hiddencost-baseline-dir=off"  # for tests of budgets alone
WIDE = 200  # columns: no sentence of the summary needs two lines
# Hypothesis takes a second to load, in every run.
_PLAIN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")

PRELUDE = """\
import time

import pytest
import torch
from torch import nn

budget = pytest.mark.latency_budget
MODEL = nn.Sequential(nn.Linear(8, 16), nn.ReLU()).eval()  # 128 MACs, 144 parameters
X = torch.ones(1, 8)
# Long enough for shares of its time to be steady.
BIG = nn.Sequential(nn.Linear(256, 256), nn.ReLU()).eval()
ROWS = torch.ones(64, 256)  # 4,194,304 MACs


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())


IMAGE = torch.ones(2, 3, 8, 8)
"""

NEIGHBOUR = """
@budget(p50="10 s", macs=128)
def test_neighbour(hiddencost):
    hiddencost(MODEL, X)
"""

# For a process of its own, what ``undisturbed`` does in this one.
ALONE = """
from pathlib import Path
from pytest_hiddencost.measure.device import health, load
load.STAT = health.ROOT = Path("/nowhere")
"""

# Models that are not measured: see ``stand_in``.
GIVEN = """
from dataclasses import replace
from tests.profiles import latency_of, network, operator, profile_of, samples_around


def given(profile):
    def model(x):
        return x

    model.profile = profile
    return model
"""


def suite(*parts: str) -> str:
    """The text of a test file: the models, then these tests."""
    return "\n".join([PRELUDE, *(dedent(part) for part in parts)])


def write_suite(pytester: pytest.Pytester, tests: str | Sequence[str]) -> None:
    """Write a suite of these tests."""
    parts = [tests] if isinstance(tests, str) else tests
    (pytester.path / "test_it.py").write_text(suite(*parts), encoding="utf-8")


def run(
    pytester: pytest.Pytester, tests: str | Sequence[str], *arguments: str, columns: int = WIDE
) -> pytest.RunResult:
    """Run a suite of these tests, measuring briefly."""
    write_suite(pytester, tests)
    return run_here(pytester, BRIEF, NO_BASELINES, *arguments, columns=columns)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep the load and the temperature of this machine from the measurements."""
    nowhere = Path("/nowhere")
    with patch.object(load, "STAT", nowhere), patch.object(health, "ROOT", nowhere):
        yield


def run_here(
    pytester: pytest.Pytester,
    *arguments: str,
    columns: int = WIDE,
    variables: Mapping[str, str] | None = None,
) -> pytest.RunResult:
    """Run pytest in this process on what is in the folder; never an internal error."""
    environment = environment_of_runs() | {"COLUMNS": str(columns)} | dict(variables or {})
    with undisturbed(), patch.dict(os.environ, environment, clear=True):
        result = pytester.runpytest_inprocess(*_PLAIN, *arguments)
    assert "INTERNALERROR" not in result.stdout.str()
    assert "INTERNALERROR" not in result.stderr.str()
    return result


def passes(
    pytester: pytest.Pytester, tests: str | Sequence[str], *arguments: str, count: int = 1
) -> str:
    """Run tests that must all pass; what was printed."""
    result = run(pytester, tests, *arguments)
    result.assert_outcomes(passed=count)
    return result.stdout.str()


def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the measurement of a ``given`` model return the profile that it was given."""
    measure = pytest_hiddencost.measure.measure

    def measured(call: Call, *arguments: Any, **settings: Any) -> Profile:
        found: Profile | None = getattr(call.model, "profile", None)
        return measure(call, *arguments, **settings) if found is None else found

    monkeypatch.setattr(pytest_hiddencost.measure, "measure", measured)


# --- what a run left behind ---------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """A run of pytest that is over, and the files it left."""

    code: int
    stdout: str
    stderr: str
    folder: Path

    @property
    def output(self) -> str:
        """Everything it printed."""
        return self.stdout + self.stderr

    @property
    def document(self) -> dict[str, Any]:
        """Its run file."""
        return run_file(self.folder)

    @property
    def profiles(self) -> dict[str, dict[str, Any]]:
        """The profiles of its run file, by test name and label."""
        return profiles_in(self.folder)

    @property
    def cases(self) -> dict[str, ElementTree.Element]:
        """The test cases of its JUnit file by name."""
        return junit_cases(self.folder / JUNIT)

    @property
    def outcomes(self) -> dict[str, str]:
        """Test name to outcome, by its JUnit file."""
        return outcomes_in(self.cases)

    def message(self, test: str) -> str:
        """The message of a test that failed or could not be set up."""
        found = [e for tag in ("failure", "error") for e in self.cases[test].iter(tag)]
        assert len(found) == 1, f"{test}: {len(found)} messages"
        return f"{found[0].attrib['message']}\n{found[0].text}"


def finished_here(
    pytester: pytest.Pytester, tests: str | Sequence[str], *arguments: str
) -> Finished:
    """Run a suite of these tests in this process; it leaves a run file and a JUnit file."""
    result = run(pytester, tests, JSON, f"--junitxml={JUNIT}", *arguments)
    return Finished(int(result.ret), result.stdout.str(), result.stderr.str(), pytester.path)


def run_apart(folder: Path, tests: list[str], *arguments: str) -> Finished:
    """Run a suite of these tests in a fresh process, measuring briefly."""
    (folder / "test_it.py").write_text(suite(ALONE, *tests), encoding="utf-8")
    return pytest_apart(folder, BRIEF, NO_BASELINES, *arguments, COLUMNS=str(WIDE))


def pytest_apart(folder: Path, *arguments: str, **environment: str) -> Finished:
    """Run pytest on what is in a folder, in a fresh process; never an internal error."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *_PLAIN, *arguments],
        cwd=folder,
        env={**environment_of_runs(), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "INTERNALERROR" not in done.stdout + done.stderr
    return Finished(done.returncode, done.stdout, done.stderr, folder)


def environment_of_runs() -> dict[str, str]:
    """The environment without what is meant for this run alone: workers, options, terminal, CI."""
    dropped = re.compile("PYTEST_(?!DEBUG_TEMPROOT)|KINETO_|COLUMNS|GITHUB_|CI_")
    kept = {name: value for name, value in os.environ.items() if not dropped.match(name)}
    return kept | {"OMP_NUM_THREADS": "1"}


def run_file(folder: Path, name: str = RUN_FILE) -> dict[str, Any]:
    """The run file as JSON."""
    document: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return document


def profiles_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The profiles of the run file in a folder, by test name and label."""
    return {
        " ".join(filter(None, [entry["test"].partition("::")[2], entry["label"]])): entry
        for entry in run_file(folder)["profiles"]
    }


def profiles(pytester: pytest.Pytester) -> dict[str, dict[str, Any]]:
    """The profiles of the last run's file, by test name and label."""
    return profiles_in(pytester.path)


def verdicts(entry: dict[str, Any]) -> dict[str, str]:
    """Check to verdict of one profile of the run file."""
    return {verdict["gate"]: verdict["verdict"] for verdict in entry["verdicts"]}


def junit_cases(path: Path) -> dict[str, ElementTree.Element]:
    """The test cases of a JUnit file by name."""
    cases = ElementTree.parse(path).getroot().iter("testcase")
    return {case.attrib["name"]: case for case in cases}


def outcomes_in(cases: dict[str, ElementTree.Element]) -> dict[str, str]:
    """Passed, failure, error or skipped, by test name."""
    tags = ("failure", "error", "skipped")
    return {
        name: next((tag for tag in tags if case.find(tag) is not None), "passed")
        for name, case in cases.items()
    }


def properties(case: ElementTree.Element) -> dict[str, str]:
    """The properties of a JUnit test case; none may occur twice."""
    found = [(p.attrib["name"], p.attrib["value"]) for p in case.iter("property")]
    assert len({name for name, _ in found}) == len(found), found
    return dict(found)


def section(output: str) -> list[str]:
    """The lines of the summary's section, its title left out."""
    lines = output.splitlines()
    starts = [i for i, line in enumerate(lines) if line.strip("= ") == "hidden costs"]
    assert len(starts) == 1, output
    found = lines[starts[0] + 1 :]
    ends = [i for i, line in enumerate(found) if line.startswith("=") or " passed in " in line]
    return found[: ends[0]] if ends else found


def tables_in(lines: Sequence[str]) -> list[list[list[str]]]:
    """Every table: the cells of its header, then of each row, cut where its columns are."""
    found = []
    for i, line in enumerate(lines):
        if re.fullmatch(r"-+(  +-+)+", line):
            starts = [match.start() for match in re.finditer("-+", line)]
            columns = list(zip(starts, [*starts[1:], None], strict=True))
            table = [lines[i - 1], *takewhile(str.strip, lines[i + 1 :])]
            found.append([[row[start:end].strip() for start, end in columns] for row in table])
    return found


def longest(lines: Sequence[str]) -> int:
    """The width these lines need."""
    return max(map(len, lines))


def endings(output: str) -> dict[str, list[str]]:
    """The outcome of each test, from the summary of ``-rA``; two words if teardown failed too."""
    found: dict[str, list[str]] = {}
    pattern = r"^(PASSED|FAILED|ERROR|XFAIL|XPASS) (?:at setup of )?test_it\.py::(.+?)(?: - .*)?$"
    for word, name in re.findall(pattern, output, re.MULTILINE):
        found.setdefault(name, []).append(word)
    order = ("PASSED", "XPASS", "XFAIL", "FAILED", "ERROR")
    return {name: sorted(words, key=order.index) for name, words in found.items()}
