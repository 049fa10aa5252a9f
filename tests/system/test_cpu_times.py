"""CPU time of threads and processes is kept apart."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from time import thread_time_ns

import pytest

from pytest_hiddencost.system import cpu_times as module
from pytest_hiddencost.system.cpu_times import CpuTimes, cpu_times, spent

MS = 1_000_000
BURN = "import time\nwhile time.process_time() < 0.03: pass\n"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the clocks of Linux")


def burn() -> None:
    start = thread_time_ns()
    while thread_time_ns() - start < 20 * MS:
        pass


def test_time_of_the_calling_thread_is_of_no_other() -> None:
    before = cpu_times()
    burn()
    found = spent(before, cpu_times())
    assert found.other_threads_ns < 10 * MS
    assert found.children_ns == 0


@linux
def test_time_of_another_thread_is_told_even_while_it_lives() -> None:
    done, stop = threading.Event(), threading.Event()

    def work() -> None:
        burn()
        done.set()
        stop.wait()

    before = cpu_times()
    thread = threading.Thread(target=work)
    thread.start()
    done.wait()
    found = spent(before, cpu_times())
    stop.set()
    thread.join()
    assert found.other_threads_ns >= 15 * MS
    assert found.python_threads_ns >= 15 * MS


def test_time_of_a_child_that_ended_is_told() -> None:
    before = cpu_times()
    subprocess.run([sys.executable, "-S", "-c", BURN], check=True)
    assert spent(before, cpu_times()).children_ns >= 15 * MS


@linux
def test_time_of_a_child_that_still_runs_is_told() -> None:
    before, program = cpu_times(), f"{BURN}print('x', flush=True)\ninput()"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.readline()
    running = spent(before, cpu_times()).children_ns
    child.communicate(b"\n")
    assert running >= 15 * MS
    assert spent(before, cpu_times()).children_ns >= running  # it is not lost at the end


def test_without_proc_only_ended_children_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "PROC", tmp_path / "absent")
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    before = cpu_times()
    child.communicate(b"\n")
    assert spent(before, cpu_times()).children_ns > 0


def test_times_that_a_clock_takes_back_are_none() -> None:
    later, sooner = CpuTimes(9, 9, 9, 9, {1: 9}), CpuTimes(5, 5, 5, 5, {1: 5, 2: 3})
    found = spent(later, sooner)
    assert (found.other_threads_ns, found.python_threads_ns, found.children_ns) == (0, 3, 0)
