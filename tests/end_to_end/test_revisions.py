"""Head and base in whole processes, as a user sees it: verdicts, messages, what is left behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost import Profile
from pytest_hiddencost.judge.interleaved.comparison import pair_looks
from pytest_hiddencost.workers import worker
from pytest_hiddencost.workers.pairs import LEAST_BLOCKS
from tests.repositories import COPYING, MODEL, SLOW, TEST, commit, git, project, write
from tests.suites import (
    ALONE,
    SHORT,
    Finished,
    junit_cases,
    properties,
    pytest_apart,
    run_file,
    run_here,
    section,
    verdicts,
)

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.usefixtures("own_temporary_folder", "one_template"),
]

# A tolerance that blocks of a few calls do not exceed, under any load.
LOOSE = "--hiddencost-tolerance=1000%"
CONFIDENCE = 0.6  # of a few pairs, each of which takes a second
RUN = (
    SHORT, "--hiddencost-threads=1", "--hiddencost-json=run.json", "--junitxml=junit.xml",
    f"--hiddencost-confidence={CONFIDENCE:.0%}",
)  # fmt: skip
TIMED = {"regression[p50]", "regression[non_mac]"}


def compare(
    pytester: pytest.Pytester, *arguments: str, against: str = "main", loose: str = LOOSE
) -> pytest.RunResult:
    return run_here(pytester, *RUN, loose, f"--hiddencost-against={against}", *arguments)


def profiles(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        " ".join(filter(None, [entry["test"], entry["label"]])): entry
        for entry in run_file(folder)["profiles"]
    }


def only(folder: Path) -> dict[str, Any]:
    [found] = profiles(folder).values()
    return found


def leftovers() -> list[str]:
    names = os.listdir(tempfile.gettempdir())
    return [name for name in names if name.startswith(("hiddencost-against", "hiddencost-workers"))]


def why_new(folder: Path, test: str) -> str:
    return why(folder, test, "new")


def why_open(folder: Path, test: str) -> str:
    """The reason of a call that was not compared, although base may have it."""
    found = why(folder, test, "inconclusive")
    return found.removeprefix("head and base were not compared: ")


def why(folder: Path, test: str, answer: str) -> str:
    [verdict] = [v for v in profiles(folder)[test]["verdicts"] if v["verdict"] == answer]
    reason: str = verdict["reason"]
    return reason


# --- verdicts -----------------------------------------------------------------------------------


def test_unchanged_code_passes_and_nothing_is_left(pytester: pytest.Pytester) -> None:
    head = project(pytester.path)
    result = compare(pytester)
    result.assert_outcomes(passed=1)
    assert git(pytester.path, "status", "--porcelain") == ""
    assert len(git(pytester.path, "worktree", "list").splitlines()) == 1
    assert not leftovers()
    entry = only(pytester.path)
    found = verdicts(entry)
    assert set(found) >= TIMED | {"regression[calls]", "regression[macs]"}
    assert set(found.values()) == {"pass"}
    interleaved = entry["paired"]
    assert (interleaved["revision"], interleaved["commit"]) == ("main", head)
    assert interleaved["interval"][0] <= interleaved["ratio"] <= interleaved["interval"][1]
    assert interleaved["blocks"] >= LEAST_BLOCKS
    assert interleaved["launches"] == pair_looks(CONFIDENCE, 1)[0].size
    lines = section(result.stdout.str())
    assert (
        f"against main ({head[:10]}): head and base each import their own conftest.py, mynet.py, "
        "test_it.py"
    ) in " ".join(" ".join(lines).split())
    change = r"[+-][\d.]+ % \([+-][\d.]+ to [+-][\d.]+ %\)"
    assert re.search(rf"pass +p50 {change}, at most [+]1000 %, non-MAC {change}", " ".join(lines))
    of_case = properties(junit_cases(pytester.path / "junit.xml")["test_net"])
    assert of_case["hiddencost.paired.revision"] == f"main ({head[:10]})"
    assert float(of_case["hiddencost.paired.ratio"]) == pytest.approx(
        interleaved["ratio"], abs=1e-4
    )
    assert json.loads(json.dumps(Profile.from_dict(entry).to_dict())) == entry


def test_a_change_that_is_not_committed_is_heads(pytester: pytest.Pytester) -> None:
    project(pytester.path)
    write(pytester.path, mynet=COPYING)
    status = git(pytester.path, "status", "--porcelain")
    result = compare(pytester)
    result.assert_outcomes(failed=1)
    assert git(pytester.path, "status", "--porcelain") == status
    output = result.stdout.str()
    assert re.search(r"\+1 aten::clone.*mynet\.py:\d+", output)
    assert "against main (" in output
    assert re.search(r"aten::clone +0 -> 1 ", output)
    assert verdicts(only(pytester.path))["regression[calls]"] == "fail"
    launches = only(pytester.path)["paired"]["launches"]
    assert launches == pair_looks(CONFIDENCE, 1)[0].size, "structure needs no second look"


@pytest.mark.nightly
def test_slower_code_is_confirmed_by_pairs_of_processes(pytester: pytest.Pytester) -> None:
    project(pytester.path, test_it=TEST + AND_ANOTHER)
    write(pytester.path, mynet=SLOW)
    result = compare(pytester, loose="--hiddencost-tolerance=100%")
    result.assert_outcomes(failed=2)
    for entry in profiles(pytester.path).values():
        assert verdicts(entry)["regression[p50]"] == "fail"
        assert entry["paired"]["ratio"] > 2
        [reason] = [v["reason"] for v in entry["verdicts"] if v["gate"] == "regression[p50]"]
        assert reason == f"shown by {entry['paired']['launches']} pairs of processes"
    assert re.search(r"^outside .* \+[\d.]+ ms$", result.stdout.str(), re.MULTILINE)


# --- sides that do not match --------------------------------------------------------------------

BASE_TESTS = """\
import pytest
import torch
from mynet import Net

X = torch.ones(1, 8)


class TestClass:
    def test_method(self, hiddencost):
        hiddencost(Net(), X)


@pytest.mark.parametrize("rows", [1, 2])
def test_rows(hiddencost, rows):
    hiddencost(Net(), torch.ones(rows, 8))


def test_labels(hiddencost):
    hiddencost(Net(), X, label="b")
    hiddencost(Net(), X, label="a")


def test_other_label(hiddencost):
    hiddencost(Net(), X, label="old")


def test_skipped(hiddencost):
    pytest.skip("not today")


def test_fails(hiddencost):
    raise RuntimeError("was broken")


def test_never_called(hiddencost):
    pass


@pytest.fixture(scope="module")
def model():
    print("noise of the other one's")
    return Net()


def test_with_fixture(hiddencost, model):
    import warnings
    warnings.warn("warning of the other one's")
    hiddencost(model, X)
"""
HEAD_TESTS = """\
import pytest
import torch
from mynet import Net

X = torch.ones(1, 8)


class TestClass:
    def test_method(self, hiddencost):
        hiddencost(Net(), X)


@pytest.mark.parametrize("rows", [2, 4])
def test_rows(hiddencost, rows):
    hiddencost(Net(), torch.ones(rows, 8))


def test_labels(hiddencost):
    hiddencost(Net(), X, label="a")
    hiddencost(Net(), X, label="b")


def test_other_label(hiddencost):
    hiddencost(Net(), X, label="new")


def test_skipped(hiddencost):
    hiddencost(Net(), X)


def test_fails(hiddencost):
    hiddencost(Net(), X)


def test_never_called(hiddencost):
    hiddencost(Net(), X)


def test_added(hiddencost):
    hiddencost(Net(), X)


@pytest.fixture(scope="module")
def model():
    return Net()


def test_with_fixture(hiddencost, model):
    hiddencost(model, X)
"""
REASONS = {
    "test_rows[4]": "main: there is no test_it.py::test_rows[4]",
    "test_other_label new": "main: the test has no hiddencost call with label 'new'; labels of its "
    "calls: 'old'",
    "test_skipped": "main: the test was skipped: not today",
    "test_fails": "main: the test failed in its call: RuntimeError: was broken",
    "test_never_called": "main: the test never calls hiddencost",
    "test_added": "main: there is no test_it.py::test_added",
}
MATCHED = {"TestClass::test_method", "test_rows[2]", "test_labels a", "test_labels b"}


DYING = TEST.replace(
    "hiddencost(Net()", "import os\n    os.kill(os.getpid(), 9)\n    hiddencost(Net()"
)
AND_ANOTHER = "\n\ndef test_two(hiddencost):\n    hiddencost(Net(), torch.ones(1, 8))\n"


def test_what_base_lacks_or_cannot_run_is_new(pytester: pytest.Pytester) -> None:
    broken = "import nowhere_to_be_found\n"
    base = {"test_it": BASE_TESTS, "test_broken": broken, "test_dying": DYING + AND_ANOTHER}
    project(pytester.path, **base)
    write(pytester.path, test_it=HEAD_TESTS, test_broken=TEST, test_dying=TEST + AND_ANOTHER)
    result = compare(pytester)
    result.assert_outcomes(passed=13)
    found = profiles(pytester.path)
    for name, reason in REASONS.items():
        assert why_new(pytester.path, f"test_it.py::{name}") == reason
    for name in {*MATCHED, "test_with_fixture"}:
        assert set(verdicts(found[f"test_it.py::{name}"]).values()) == {"pass"}, name
    output = result.stdout.str() + result.stderr.str()
    assert "other one's" not in output
    assert "new (1): test_it.py::test_skipped: main: the test was skipped: not today" in " ".join(
        output.split()
    )
    assert why_new(pytester.path, "test_broken.py::test_net") == (
        "main: test_broken.py could not be collected: "
        "ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    )
    # A worker that is killed spoils one test.
    reason = why_open(pytester.path, "test_dying.py::test_net")
    assert reason.startswith("main: the worker process ended with exit status -9")
    assert set(verdicts(found["test_dying.py::test_two"]).values()) == {"pass"}


def test_a_conftest_that_cannot_be_imported_in_base(pytester: pytest.Pytester) -> None:
    project(pytester.path, conftest="import nowhere_to_be_found\n")
    write(pytester.path, conftest=ALONE)
    compare(pytester).assert_outcomes(passed=1)
    reason = why_open(pytester.path, "test_it.py::test_net")
    assert reason.startswith("main: the worker process ended with exit status 4: ")
    assert "No module named 'nowhere_to_be_found'" in reason


def test_a_worker_that_hangs_is_killed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ANSWER_S", 2.0)
    monkeypatch.setattr(worker, "SLOWER", 1)
    hanging = TEST.replace(
        "hiddencost(Net()", "import time\n    time.sleep(600)\n    hiddencost(Net()"
    )
    project(pytester.path, test_it=hanging)
    write(pytester.path, test_it=TEST)
    compare(pytester).assert_outcomes(passed=1)
    reason = why_open(pytester.path, "test_it.py::test_net")
    assert re.fullmatch(
        r"main: the worker process hangs: no answer within \d+ s; if it was .*", reason
    )
    assert not [line for line in processes() if str(pytester.path) in line]


def processes() -> list[str]:
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "hiddencost-interleaved" in line]


# --- the same code on both sides ----------------------------------------------------------------


def test_an_installed_package_is_not_compared_with_itself(pytester: pytest.Pytester) -> None:
    installed = pytester.path.parent / f"{pytester.path.name}-env" / "site-packages"
    conftest = f"import sys\nsys.path.insert(0, {str(installed)!r})\n{ALONE}"
    write(installed, **{"netlib/__init__": MODEL})
    project(
        pytester.path,
        **{"src/netlib/__init__": MODEL},
        conftest=conftest,
        test_it=TEST.replace("mynet", "netlib"),
    )
    result = compare(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"*--hiddencost-against=main: head and base both import netlib from {installed}*"]
    )
    assert "pip install --editable" in result.stdout.str()


def test_sources_in_a_folder_of_their_own_are_those_of_the_revision(
    pytester: pytest.Pytester,
) -> None:
    """As an editable install has them: on the path of this run, by an absolute name."""
    conftest = f"import sys\nsys.path.append({str(pytester.path / 'src')!r})\n{ALONE}"
    project(pytester.path, conftest=conftest, mynet="raise ImportError\n", **{"src/other": MODEL})
    write(pytester.path, test_it=TEST.replace("mynet", "other"))
    commit(pytester.path)
    write(pytester.path, **{"src/other": COPYING})
    compare(pytester).assert_outcomes(failed=1)
    assert "+1 aten::clone" in " ".join(only(pytester.path)["paired"]["differences"])


# --- where things are ---------------------------------------------------------------------------


def test_a_folder(pytester: pytest.Pytester) -> None:
    other = pytester.path.parent / f"{pytester.path.name} the other"
    project(other, mynet=MODEL)
    project(pytester.path, mynet=COPYING)
    compare(pytester, against=f"../{other.name}").assert_outcomes(failed=1)
    assert only(pytester.path)["paired"]["revision"] == f"../{other.name}"
    assert (other / "mynet.py").is_file()


def interpreter(folder: Path, line: str) -> str:
    path = folder / "other python"
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)
    return f"installed:{path}"


def test_another_interpreter(pytester: pytest.Pytester) -> None:
    project(pytester.path)
    python = interpreter(pytester.path.parent, f'exec {shlex.quote(sys.executable)} "$@"')
    result = compare(pytester, against=python)
    result.assert_outcomes(passed=1)
    assert re.search(
        r"against installed:.*: head and base each import their own torch \d",
        " ".join(result.stdout.str().split()),
    )
    assert len(git(pytester.path, "worktree", "list").splitlines()) == 1


def test_an_interpreter_without_pytest(pytester: pytest.Pytester) -> None:
    project(pytester.path)
    python = interpreter(pytester.path.parent, "echo No module named pytest; exit 1")
    compare(pytester, against=python).assert_outcomes(passed=1)
    reason = why_open(pytester.path, "test_it.py::test_net")
    assert reason.endswith("the worker process ended with exit status 1: No module named pytest")


@pytest.fixture
def nested(pytester: pytest.Pytester) -> Path:
    """A repository with spaces in its name, the tests in a folder of it, settings elsewhere."""
    top = pytester.path / "my repository"
    project(top, **{"part/checks/test_it": TEST, "part/checks/mynet": MODEL})
    (top / "test_it.py").unlink()
    (top / "pytest.ini").unlink()
    (top / "mynet.py").unlink()
    (pytester.path / "settings.ini").write_text("[pytest]\n", encoding="utf-8")
    commit(top)
    write(top, **{"part/checks/mynet": COPYING})
    return top


def test_an_ini_file_elsewhere_and_a_nested_rootdir(
    pytester: pytest.Pytester, nested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(nested / "part")
    arguments = (
        "-c",
        str(pytester.path / "settings.ini"),
        f"--rootdir={nested / 'part'}",
        "checks",
    )
    compare(pytester, *arguments).assert_outcomes(failed=1)
    entry = only(nested / "part")
    assert entry["test"] == "checks/test_it.py::test_net"
    assert "+1 aten::clone" in " ".join(entry["paired"]["differences"])


def test_testpaths(pytester: pytest.Pytester, nested: Path) -> None:
    ini = "[pytest]\ntestpaths = part\nhiddencost_against = main\n"
    (nested / "pytest.ini").write_text(ini, encoding="utf-8")
    os.chdir(nested)
    run_here(pytester, *RUN, LOOSE).assert_outcomes(failed=1)
    assert only(nested)["test"] == "part/checks/test_it.py::test_net"


def test_a_conftest_that_is_not_committed_is_taken_along(pytester: pytest.Pytester) -> None:
    project(pytester.path, test_it=TEST.replace("Net()", "Net(), given").replace(", given,", ","))
    git(pytester.path, "rm", "--quiet", "--cached", "conftest.py")
    git(pytester.path, "commit", "--quiet", "--message", "without")
    result = compare(pytester)
    result.assert_outcomes(passed=1)
    assert "against main: conftest.py is not committed: taken along as it is" in " ".join(
        result.stdout.str().split()
    )


# --- processes ----------------------------------------------------------------------------------


def apart(folder: Path, *arguments: str) -> Finished:
    return pytest_apart(folder, *RUN, LOOSE, "--hiddencost-against=main", *arguments)


def test_with_workers_the_verdicts_are_the_same(tmp_path: Path) -> None:
    project(tmp_path, test_it=BASE_TESTS)
    write(tmp_path, test_it=HEAD_TESTS, mynet=COPYING)
    done = apart(tmp_path, "-n2", "-k", "not method and not fixture and not never_called")
    failed = {name for name, outcome in done.outcomes.items() if outcome == "failure"}
    assert failed == {"test_rows[2]", "test_labels"}
    for name in REASONS.keys() - {"test_never_called"}:
        assert why_new(tmp_path, f"test_it.py::{name}") == REASONS[name]
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1
    assert not leftovers()
