"""Relaunches: what they measured is read, and one that goes wrong says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers import relaunches
from pytest_hiddencost.workers.invocation import Invocation
from pytest_hiddencost.workers.relaunches import Relaunches, RelaunchResult, write_result
from pytest_hiddencost.workers.starting import PytestOrder, Starter
from tests.profiles import network

TEST = network().test


def invocation_in(folder: Path) -> Invocation:
    return Invocation(folder, folder, None, (), max_time_ns=1)


def fresh() -> Starter:
    """A starter that starts every process afresh."""
    reaper = SimpleNamespace(process=lambda _: None, ended=lambda _: None)
    return Starter(cast("Reaper", reaper), forks=False)


def starter(folder: Path) -> Relaunches:
    return Relaunches(invocation_in(folder), fresh())


def pretend(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Start processes that run this program instead of pytest; ``sys.argv`` are the arguments."""

    def popen(command: list[str], **options: object) -> object:
        return original([sys.executable, "-c", program, *command[1:]], **options)  # type: ignore[call-overload]

    original = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)


LEAVES = f"""
import sys
path = next(a.partition("=")[2] for a in sys.argv if a.startswith("--hiddencost-relaunch="))
open(path, "w").write({{document!r}})
print({TEST!r} in " ".join(sys.argv))
"""


def leaving(folder: Path, result: RelaunchResult) -> str:
    """A program that leaves this result."""
    write_result(folder / "made.json", result)
    return LEAVES.format(document=(folder / "made.json").read_text())


def test_the_profiles_of_a_relaunch_are_found_by_their_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = (network(), network(label="b"))
    pretend(monkeypatch, leaving(tmp_path, RelaunchResult(profiles, ())))
    started = starter(tmp_path)
    assert started.launch([TEST]) == {(TEST, ""): network(), (TEST, "b"): network(label="b")}
    assert (started.started, started.trouble) == (1, "")


def test_a_test_that_fails_in_a_relaunch_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, leaving(tmp_path, RelaunchResult((network(),), (TEST,))))
    started = starter(tmp_path)
    assert started.launch([TEST]) == {}
    assert started.trouble == "the test failed in a relaunch"


def test_a_test_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = (network(), network(test="test_models.py::test_other"))
    pretend(monkeypatch, leaving(tmp_path, RelaunchResult(profiles, (TEST,))))
    started = starter(tmp_path)
    assert set(started.launch([TEST])) == {("test_models.py::test_other", "")}
    assert started.trouble == ""


def test_trouble_is_that_of_the_last_relaunch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = starter(tmp_path)
    with monkeypatch.context() as patched:
        pretend(patched, "raise SystemExit(3)")
        started.launch([TEST])
        assert started.trouble
    pretend(monkeypatch, leaving(tmp_path, RelaunchResult((network(),), ())))
    started.launch([TEST])
    assert (started.started, started.trouble) == (2, "")


@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        ("import sys; print('what went wrong'); sys.exit(4)", "exit status 4: what went wrong"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9"),
        ("pass", "wrote no profiles"),
        (LEAVES.format(document="{"), "wrote no profiles"),
        (LEAVES.format(document="[]"), "wrote no profiles"),
        (LEAVES.format(document=json.dumps({"profiles": [{}], "failed": []})), "wrote no profiles"),
    ],
)
def test_a_relaunch_that_goes_wrong_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, trouble: str
) -> None:
    pretend(monkeypatch, program)
    started = starter(tmp_path)
    assert started.launch([TEST]) == {}
    assert trouble in started.trouble


def test_a_relaunch_that_hangs_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaunches, "START_S", 1.0)
    monkeypatch.setattr(relaunches, "EACH_S", 0.0)
    pids = tmp_path / "pids"
    child = "import time; time.sleep(600)"
    pretend(
        monkeypatch,
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)",
    )
    started = starter(tmp_path)
    assert started.launch([TEST]) == {}
    assert "did not end within 1 s" in started.trouble
    for pid in map(int, pids.read_text().split()):
        assert _gone(pid)


def _gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return False


def test_a_relaunch_is_a_pytest_of_its_own(tmp_path: Path) -> None:
    """It has its own files and no workers, and measures the tests that it was started for."""
    started: list[PytestOrder] = []
    ended: list[object] = []

    class Done:
        def wait(self, timeout: float) -> int:
            return 0

    class Starting:
        def start(self, order: PytestOrder, output: Path) -> Done:
            started.append(order)
            assert output.parent.is_dir()
            return Done()

        def end(self, process: object) -> None:
            ended.append(process)

    invocation = Invocation(tmp_path, tmp_path, tmp_path / "tox.ini", ("-n4", "--color=yes"), 1)
    plugins = frozenset({"xdist", "_cov", "junitxml", "cacheprovider", "tmpdir"})
    Relaunches(invocation, cast("Starter", Starting()), plugins).launch([TEST], "slow")
    [order] = started
    assert len(ended) == 1
    assert (order.python, order.directory) == (sys.executable, tmp_path)
    assert (order.path, order.descriptor) == ((), None)
    arguments = order.arguments
    assert arguments.index("-n4") < arguments.index("-n0")
    assert arguments[arguments.index("-c") + 1] == str(tmp_path / "tox.ini")
    assert arguments[arguments.index("pytest_hiddencost.workers.relaunch_plugin") - 1] == "-p"
    assert {"--no-cov", "--hiddencost-injection=slow"} <= set(arguments)
    assert arguments[-1] == str(tmp_path / TEST)
    [result] = [part for part in arguments if part.startswith("--hiddencost-relaunch=")]
    folder = str(Path(result.partition("=")[2]).parent)
    for own in ("--junit-xml=", "--basetemp=", "cache_dir="):
        [path] = [part.partition("=")[2] for part in arguments if part.startswith(own)]
        assert path.startswith(folder)
    assert not Path(folder).exists(), "nothing is left behind"


def test_a_relaunch_is_shown_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, leaving(tmp_path, RelaunchResult((network(),), ())))
    shown: list[str] = []
    started = Relaunches(invocation_in(tmp_path), fresh(), show=shown.append)
    started.launch([TEST])
    started.launch([TEST, "test_it.py::test_other"])
    assert shown == ["relaunch 1: 1 test", "", "relaunch 2: 2 tests", ""]
