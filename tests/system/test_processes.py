"""Child processes: their environment, their last output, and the end of a group."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_hiddencost.system.processes import fresh_environment, kill_group, last_words


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


def test_a_process_is_killed_with_the_processes_that_it_started() -> None:
    started = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {!r}]).pid)"
    sleeps = "import time; time.sleep(600)"
    program = f"{started.format(sleeps)}; sys.stdout.flush(); {sleeps}"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    kill_group(process)
    assert process.returncode < 0
    # The child held the pipe as well: its end comes only after both processes are gone.
    assert process.stdout.read() == b""
    process.stdout.close()
    kill_group(process)  # a process that has ended is no error
