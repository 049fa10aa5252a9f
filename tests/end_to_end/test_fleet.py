"""Runs on a fleet of this machine: a scheduler and devices as processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from benchmarks.fleet.local_fleet import LocalFleet, local_fleet, sleeping_test
from pytest_hiddencost.fleet.dispatcher import Dispatcher
from pytest_hiddencost.fleet.members import members
from tests.repositories import commit
from tests.suites import (
    JSON,
    JUNIT,
    Finished,
    environment_of_runs,
    properties,
    pytest_apart,
    suite,
)

KINDS = ("board-a", "board-b", "board-c")
# Tests that decide without measuring: torch stays out of their processes.
CHEAP = """
import os, time
import pytest

@pytest.mark.latency_budget(macs=1)
def test_differs():
    assert "board-b" not in os.getcwd(), "not on this board"

@pytest.mark.latency_budget(macs=1)
def test_crashes():
    if "board-c" in os.getcwd():
        os.abort()
    pytest.skip("only there")

def test_local():
    assert "board" not in os.getcwd()
"""
MEASURES = suite(
    """
    @budget(macs=128)
    def test_measured(hiddencost):
        hiddencost(MODEL, X)
    """
)
WAITS = """
import time
import pytest

@pytest.mark.latency_budget(macs=1)
@pytest.mark.parametrize("n", range(4))
def test_waits(n):
    time.sleep({s})
    pytest.skip("it has waited")
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[LocalFleet]:
    with local_fleet(dict.fromkeys(KINDS, 1)) as found:
        yield found


def scratch_folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("hiddencost-device-*"))


def project(folder: Path, tests: str, ini: str = "") -> Path:
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n", encoding="utf-8")
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    commit(folder)
    return folder


def on(fleet: LocalFleet, folder: Path, *arguments: str) -> Finished:
    address = f"--hiddencost-fleet={fleet.address}"
    return pytest_apart(folder, address, f"--junitxml={JUNIT}", *arguments, COLUMNS="200")


@pytest.mark.end_to_end
@pytest.mark.xdist_group("fleet")
def test_every_test_runs_on_each_kind_and_fails_if_one_fails(
    fleet: LocalFleet, tmp_path: Path
) -> None:
    done = on(fleet, project(tmp_path, CHEAP), "-rfEs")
    assert done.code == pytest.ExitCode.TESTS_FAILED, done.output
    assert done.outcomes["test_local"] == "passed"
    assert done.outcomes["test_differs"] == "failure"
    assert "on board-b" in done.message("test_differs")
    assert "not on this board" in done.message("test_differs")
    assert "ended by signal 6 on board-c" in done.message("test_crashes")
    found = properties(done.cases["test_differs"])
    assert {k: v for k, v in found.items() if "outcome" in k} == {
        "hiddencost.outcome[board-a]": "failed",  # it measured nothing
        "hiddencost.outcome[board-b]": "failed",
        "hiddencost.outcome[board-c]": "failed",
    }
    rows = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("board-")]
    assert rows == [["board-a", "board-a-1"], ["board-b", "board-b-2"], ["board-c", "board-c-3"]]


@pytest.mark.nightly
@pytest.mark.xdist_group("fleet")
def test_run_files_and_baselines_come_back(fleet: LocalFleet, tmp_path: Path) -> None:
    folder = project(tmp_path, MEASURES)
    brief = ("--hiddencost-max-time=20ms", "--hiddencost-fleet-kinds=board-a")
    done = on(fleet, folder, JSON, "--hiddencost-update-new", *brief)
    assert done.code == 0, done.output
    assert "hidden costs on board-a" in done.stdout
    assert "baselines of board-a: 1 recorded, 1 files changed" in done.stdout
    assert (folder / "run.board-a.json").exists()
    [entry] = folder.glob(".hiddencost/*/test_it.py.json")
    before = entry.read_bytes()
    commit(folder)
    again = on(fleet, folder, "--hiddencost-interleave=always", *brief)
    assert again.code == 0, again.output
    assert "the accepted commit" in again.stdout
    assert entry.read_bytes() == before


@pytest.mark.nightly
@pytest.mark.xdist_group("fleet")
def test_a_killed_device_leaves_neither_process_nor_folder_and_loses_no_test(
    tmp_path: Path,
) -> None:
    before = scratch_folders()
    with local_fleet({"board": 2}) as fleet:
        folder = project(tmp_path, WAITS.format(s=3))
        process = started(fleet, folder)
        victim = running(fleet)
        fleet.kill(victim)
        output, _ = process.communicate(timeout=120)
        assert "4 skipped" in output
        assert "it has waited" in output
        assert "inconclusive on" not in output
    end_s = time.monotonic() + 30
    while scratch_folders() - before and time.monotonic() < end_s:
        time.sleep(0.2)
    assert scratch_folders() - before == set()


@pytest.mark.nightly
@pytest.mark.xdist_group("fleet")
def test_a_device_that_hangs_loses_its_test_to_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Dispatcher, "grace_s", 2.0)
    with local_fleet({"board": 2}) as fleet:
        dispatcher = Dispatcher(fleet.client, members(fleet.client), None)
        dispatcher.submit([replace(sleeping_test("t", "board", 3.0), limit_s=4.0)])
        victim = running(fleet, "time.sleep")
        _, process = fleet.devices[victim]
        process.send_signal(signal.SIGSTOP)
        try:
            answer = dispatcher.answer(("t", "board"))
        finally:
            process.send_signal(signal.SIGCONT)
        assert answer.reports == ({"test": "t"},)
        assert answer.device != victim


@pytest.mark.nightly
@pytest.mark.xdist_group("fleet")
def test_a_named_model_is_measured_on_every_kind(fleet: LocalFleet, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("from torch.nn import ReLU as Net\n", encoding="utf-8")
    folder = project(tmp_path, "", "pythonpath = .")
    model = ("--hiddencost-model=net:Net", "--hiddencost-batch=1,8", "--hiddencost-input=1x8")
    kinds = "--hiddencost-fleet-kinds=board-a,board-b"
    done = on(fleet, folder, *model, kinds, JSON, "--hiddencost-max-time=20ms")
    assert done.code == 0, done.output
    assert "hiddencost-model::net:Net[8x8-eager]" in done.stdout
    assert "times the fastest" in done.stdout
    assert (folder / "run.board-a.json").exists()
    assert (folder / "run.board-b.json").exists()


@pytest.mark.nightly
@pytest.mark.xdist_group("fleet")
def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    with local_fleet({"board": 1}) as fleet:
        process = started(fleet, project(tmp_path, WAITS.format(s=600)))
        running(fleet)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        end = time.monotonic() + 30
        while any(device.running for device in members(fleet.client, running=True)):
            assert time.monotonic() < end
            time.sleep(0.2)
        [(_, device)] = fleet.devices.values()
        while processes_of(device.pid):
            assert time.monotonic() < end
            time.sleep(0.2)


def started(fleet: LocalFleet, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pytest", "-rs", f"--hiddencost-fleet={fleet.address}"]
    return subprocess.Popen(
        command, cwd=folder, env=environment_of_runs(), stdout=subprocess.PIPE, text=True
    )


def running(fleet: LocalFleet, command: str = "-m pytest") -> str:
    """Wait until a device runs a test by this command; its name."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for name, (_, process) in fleet.devices.items():
            if processes_of(process.pid, command):
                return name
        time.sleep(0.1)
    raise AssertionError("no device runs a test")


def processes_of(pid: int, command: str = "-m pytest") -> list[str]:
    """The processes of tests that a device has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
            words = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if parent == str(pid) and command in words:
            found.append(words)
    return found
