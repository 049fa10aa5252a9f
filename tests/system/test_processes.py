"""Child processes: their environment, what they noticed, their last output, the end of a group."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_hiddencost.system.processes import (
    fresh_environment,
    kill_group,
    last_words,
    usage,
)


def test_the_environment_of_a_fresh_pytest_lacks_the_variables_of_this_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "here")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-q")
    found = fresh_environment()
    assert "PYTEST_XDIST_WORKER" not in found
    assert "PYTEST_CURRENT_TEST" not in found
    assert found["PYTEST_ADDOPTS"] == "-q"


@pytest.mark.parametrize(
    ("output", "expected"),
    [(b"", ""), (b"one\n", "one"), (b"1\n2\n\n 3 \n4\n", "3; 4"), (b"caf\xe9\n", "caf\ufffd")],
)
def test_the_last_words_are_the_last_three_lines(
    tmp_path: Path, output: bytes, expected: str
) -> None:
    (tmp_path / "output").write_bytes(output)
    assert last_words(tmp_path / "output") == expected


def test_memory_taken_from_the_system_shows_as_page_faults() -> None:
    pytest.importorskip("resource")
    pages = 256
    before, preempted = usage()
    with mmap.mmap(-1, pages * mmap.PAGESIZE) as taken:
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            taken.madvise(mmap.MADV_NOHUGEPAGE)
        for page in range(pages):
            taken[page * mmap.PAGESIZE] = 1
    after, later = usage()
    assert after - before >= pages
    assert later >= preempted


def test_a_system_without_resource_usage_notices_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert usage() == (0, 0)


SLEEPS = "import time; time.sleep(600)"
STARTS = (
    "import subprocess, sys;"
    f"print(subprocess.Popen([sys.executable, '-c', {SLEEPS!r}]).pid); sys.stdout.flush()"
)


@pytest.mark.parametrize("rest", [f"; {SLEEPS}", "", "; import os; os.kill(os.getpid(), 9)"])
def test_a_process_is_killed_with_the_processes_that_it_started(rest: str) -> None:
    """Also if it has ended by itself, or by a signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTS + rest], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    if "sleep" not in rest:
        process.wait()
    kill_group(process)
    assert process.returncode is not None
    # The child held the pipe as well: its end comes only after both processes are gone.
    assert process.stdout.read() == b""
    process.stdout.close()


def test_a_process_that_has_ended_with_all_that_it_started_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    process.wait()
    kill_group(process)
    assert process.returncode == 0
