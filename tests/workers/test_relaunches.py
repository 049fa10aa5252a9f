"""Fresh processes: how they are started, and what is made of those that go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.workers import relaunches as relaunches
from pytest_hiddencost.workers.relaunches import (
    Invocation,
    Relaunches,
    absolute,
    without_selection,
    write_result,
)
from tests.judge.launched import launch

TEST = "test_models.py::test_it"
words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("arguments", "selected", "kept"),
    [
        (["tests", "-v"], ["tests"], ["-v"]),
        (["-k", "tests", "tests"], ["tests"], ["-k", "tests"]),
        (["tests", "-k", "tests"], ["tests"], ["-k", "tests"]),
        (["-q", "a.py::test[x y]", "b"], ["a.py::test[x y]", "b"], ["-q"]),
        (["-x", "--lf", "--pdb", "--opt=1"], [], ["--opt=1"]),
        (["--hiddencost-update", "--hiddencost-reason=x"], [], ["--hiddencost-reason=x"]),
    ],
)
def test_what_selects_tests_is_left_out(
    arguments: list[str], selected: list[str], kept: list[str]
) -> None:
    assert without_selection(arguments, selected) == tuple(kept)


@settings(deadline=None)
@given(st.lists(words), st.lists(words, unique=True))
def test_nothing_else_is_left_out(options: list[str], selected: list[str]) -> None:
    given_options = [f"--{word}={word}" for word in options]
    assert without_selection([*given_options, *selected], selected) == tuple(given_options)


def test_a_node_id_means_the_same_from_anywhere(tmp_path: Path) -> None:
    assert (
        absolute(tmp_path, "a/test_b.py::C::test[x::y]") == f"{tmp_path}/a/test_b.py::C::test[x::y]"
    )


def starter(folder: Path, *arguments: str, max_time_ns: int = 1) -> Relaunches:
    return Relaunches(Invocation(folder, folder, None, arguments, max_time_ns))


def pretend(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """A process that does this instead of pytest; ``sys.argv`` are the arguments."""

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


def test_what_a_launch_measured_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_result(tmp_path / "made.json", [launch(), launch(label="b")], [])
    pretend(monkeypatch, LEAVES.format(document=(tmp_path / "made.json").read_text()))
    started = starter(tmp_path)
    found = started.launch([TEST])
    assert found == {(TEST, ""): launch(), (TEST, "b"): launch(label="b")}
    assert (started.started, started.trouble) == (1, "")


def test_a_test_that_fails_in_a_launch_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_result(tmp_path / "made.json", [launch()], [TEST])
    pretend(monkeypatch, LEAVES.format(document=(tmp_path / "made.json").read_text()))
    started = starter(tmp_path)
    assert started.launch([TEST]) == {}
    assert started.trouble == "the test failed in a relaunch"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; print('what went wrong'); sys.exit(4)", "exit status 4: what went wrong"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9"),
        ("pass", "left nothing behind"),
        (LEAVES.format(document="{"), "left nothing behind"),
        (LEAVES.format(document="[]"), "left nothing behind"),
        (LEAVES.format(document=json.dumps({"profiles": [{}], "failed": []})), "left nothing"),
    ],
)
def test_a_launch_that_goes_wrong_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    pretend(monkeypatch, program)
    started = starter(tmp_path)
    assert started.launch([TEST]) == {}
    assert said in started.trouble


def test_a_launch_that_hangs_is_ended_with_all_it_started(
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


def test_workers_junit_and_coverage_of_the_run_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    environments: list[dict[str, str]] = []

    class Done:
        returncode = 0
        pid = 0

        def wait(self, timeout: float) -> int:
            return 0

        def poll(self) -> int:
            return 0

    def popen(command: list[str], **options: object) -> Done:
        seen.append(command)
        environments.append(options["env"])  # type: ignore[arg-type]
        assert options["stdin"] == subprocess.DEVNULL
        return Done()

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    invocation = Invocation(tmp_path, tmp_path, tmp_path / "tox.ini", ("-n4", "--color=yes"), 1)
    plugins = frozenset({"xdist", "_cov", "junitxml", "cacheprovider"})
    Relaunches(invocation, plugins).launch([TEST], "slow")
    (command,) = seen
    assert command.index("-n4") < command.index("-n0")
    assert "--no-cov" in command
    assert "--hiddencost-injection=slow" in command
    assert any(part.startswith("--junit-xml=") for part in command)
    assert any(part.startswith("cache_dir=") for part in command)
    assert command[command.index("-c") + 1] == str(tmp_path / "tox.ini")
    assert command[-1] == str(tmp_path / TEST)
    assert not any(name.startswith("PYTEST_XDIST") for name in environments[0])
