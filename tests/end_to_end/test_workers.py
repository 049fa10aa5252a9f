"""Workers as whole processes: they are alike, and nothing of them is left however a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.workers import starting
from tests.repositories import MODEL, TEST, git, project, write
from tests.suites import ALONE, SHORT, Finished, pytest_apart, run_file, verdicts

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.usefixtures("own_temporary_folder"),
    pytest.mark.skipif(sys.platform != "linux", reason="templates are for Linux"),
]
LIMIT_S = 60.0
# A few pairs, of blocks of a few calls: time may do what it likes.
RUN = (
    SHORT, "--hiddencost-threads=1", "--hiddencost-tolerance=1000%", "--hiddencost-json=run.json",
    "--junitxml=junit.xml", "--hiddencost-against=main", "--hiddencost-confidence=60%",
)  # fmt: skip


def compare(folder: Path, *arguments: str, **environment: str) -> Finished:
    """Compare in a process of its own; nothing of it is left."""
    done = pytest_apart(folder, *RUN, *arguments, **environment)
    nothing_left()
    return done


def only(folder: Path) -> dict[str, Any]:
    [found] = run_file(folder)["profiles"]
    return found  # type: ignore[no-any-return]


def pids() -> list[int]:
    """The running or stopped processes that were started with this test's temporary folder."""
    marker = f"TMPDIR={tempfile.gettempdir()}".encode()
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):  # it has just ended, or is another user's
                if marker in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
    return found


def nothing_left() -> None:
    """Wait until no process is left, stopped ones and templates included, and no folder."""
    until(lambda: not pids())
    until(lambda: not list(Path(tempfile.gettempdir()).glob("hiddencost-[aw]*")))


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < end, pids()
        time.sleep(0.02)


# --- alike --------------------------------------------------------------------------------------

TELLING = """\
import json
import os
from pathlib import Path

import torch
from mynet import Net


def test_net(hiddencost):
    net = Net()

    def run(x):
        told = Path(os.environ["TELL"], f"{os.getpid()}.json")
        if not told.exists():
            told.write_text(json.dumps({
                "parent": os.getppid(),
                "layout": torch.empty(1 << 16).data_ptr(),
                "hash": hash("hiddencost"),
                "threads": torch.get_num_threads(),
                "cores": sorted(os.sched_getaffinity(0)),
                "folder": str(Path(__file__).parent),
                "environment": {
                    k: v for k, v in os.environ.items()
                    if k not in ("PYTHONPATH", "PYTEST_CURRENT_TEST")
                },
            }))
        return net(x)

    hiddencost(run, torch.ones(1, 8))
"""


def test_both_sides_are_forks_of_one_template_that_differ_in_memory_layout_alone(
    tmp_path: Path,
) -> None:
    told_to, tree = tmp_path / "told", tmp_path / "project"
    told_to.mkdir()
    project(tree, test_it=TELLING)
    assert compare(tree, TELL=str(told_to), OMP_WAIT_POLICY="passive").code == 0
    told = [json.loads(path.read_text()) for path in told_to.glob("*.json")]
    # The run itself measures the call too.
    sides = [side for side in told if "MALLOC_MMAP_MAX_" in side["environment"]]
    assert len(sides) == len(told) - 1 == 2 * only(tree)["paired"]["launches"]
    assert len({side["parent"] for side in sides}) == 1
    assert len({side["hash"] for side in sides}) == 1
    assert len({side["layout"] for side in sides}) > 1
    heads = [side for side in sides if side["folder"] == str(tree)]
    assert 2 * len(heads) == len(sides)
    for side in sides:
        assert side["threads"] == 1
        assert side["environment"] == sides[0]["environment"]
        assert side["environment"].items() >= starting.ALIKE.items()
        assert side["environment"]["OMP_WAIT_POLICY"] == "passive"


NO_TEMPLATES = """
from pytest_hiddencost.workers import starting
starting.Starter.prepare = lambda *_: None
"""
ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
"""


@pytest.mark.parametrize(
    "conftest", [ONE_CORE, pytest.param(ONE_CORE + NO_TEMPLATES, marks=pytest.mark.nightly)]
)
def test_a_run_on_one_core_compares_with_and_without_templates(
    tmp_path: Path, conftest: str
) -> None:
    project(tmp_path, conftest=ALONE + conftest)
    assert compare(tmp_path).code == 0
    assert set(verdicts(only(tmp_path)).values()) == {"pass"}


# --- models and conftests -----------------------------------------------------------------------

BUSY_MODEL = """\
import subprocess
import threading
import torch
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        self.eval()
        self.child = subprocess.Popen(["sleep", "600"])
        self.wanted = threading.Event()
        threading.Thread(target=self.wanted.wait, daemon=True).start()
"""
BUSY_CONFTEST = (
    ALONE
    + """
import threading
import torch

torch.cuda.is_initialized = lambda: True
threading.Thread(target=threading.Event().wait, daemon=True).start()
torch.nn.Linear(64, 64)(torch.ones(64, 64)).sum().backward()
"""
)


def test_models_that_start_threads_and_processes_and_conftests_that_compute(tmp_path: Path) -> None:
    project(tmp_path, mynet=BUSY_MODEL, conftest=BUSY_CONFTEST)
    done = pytest_apart(tmp_path, *RUN)
    assert done.code == 0, done.output
    assert set(verdicts(only(tmp_path)).values()) == {"pass"}
    # The run's own child is not ours to end; those of the workers have ended with them.
    until(lambda: len(pids()) <= 1)
    for pid in pids():
        os.kill(pid, signal.SIGKILL)
    nothing_left()


# --- workers that are killed --------------------------------------------------------------------

# Kills its process when it comes to the moment, on the side, that the test file is named after.
DYING_CONFTEST = (
    ALONE
    + """
import os
import sys
from pytest_hiddencost.workers import interleaved_plugin
from pytest_hiddencost.workers.interleaved_plugin import SharedPace, WorkerSide

side = "base" if "hiddencost-against-" in __file__ else "head"
[moment] = [
    moment for moment in ("start", "ready", "turn", "windows", "finish")
    if any(argument.endswith(f"test_{side}_{moment}.py") for argument in sys.argv)
] or [""]
if moment and any("hiddencost-interleaved" in a for a in sys.argv):
    def dies(*_, **__):
        os.kill(os.getpid(), 9)

    def dies_after(owner, name):
        original = getattr(owner, name)
        calls = []
        def called(*arguments, **options):
            calls.append(1)
            if len(calls) > 2:
                dies()
            return original(*arguments, **options)
        setattr(owner, name, called)

    if moment == "start":
        dies()
    elif moment == "ready":
        interleaved_plugin._ready = dies
    elif moment == "turn":
        dies_after(interleaved_plugin, "usage")
    elif moment == "windows":
        SharedPace.windows = dies
    elif moment == "finish":
        SharedPace.done = dies
"""
)
DIES = {
    "base_start": "main", "head_ready": "this tree", "base_turn": "main",
    "head_windows": "this tree", "base_finish": "main",
}  # fmt: skip


def test_a_side_that_is_killed_at_any_moment_is_a_reason_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    files = {f"test_{moment}": TEST for moment in DIES}
    project(tmp_path, conftest=DYING_CONFTEST, **files)
    (tmp_path / "test_it.py").unlink()
    done = compare(tmp_path)
    assert done.code == 0, done.output
    found = {entry["test"]: entry for entry in done.document["profiles"]}
    for moment, side in DIES.items():
        judged = found.pop(f"test_{moment}.py::test_net")
        reasons = " ".join(str(verdict["reason"]) for verdict in judged["verdicts"])
        assert f"{side}: the worker process ended with exit status -9" in reasons, moment
        timed = {verdict for check, verdict in verdicts(judged).items() if "p50" in check}
        assert not {"pass", "fail"} & timed, moment
    assert not found


# --- runs that end ------------------------------------------------------------------------------

# Base waits in its third turn, so head rests: it is stopped.
WAITING_MODEL = (
    MODEL
    + """
    def forward(self, x):
        import os, sys, time
        if any("hiddencost-interleaved" in a for a in sys.argv):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls > 30:
                open(os.path.join(os.environ["TMPDIR"], "reached"), "w").close()
                time.sleep(600)
        return super().forward(x)
"""
)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_leaves_no_stopped_process_no_template_and_no_files(
    tmp_path: Path, how: signal.Signals
) -> None:
    project(tmp_path, mynet=WAITING_MODEL, test_it=TEST)
    write(tmp_path, mynet=MODEL)
    # A shell's background jobs ignore Ctrl-C, and so do their children.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *RUN],
        cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    signal.signal(signal.SIGINT, ignored)
    try:
        until(lambda: Path(tempfile.gettempdir(), "reached").exists())
        assert len(pids()) >= 4, "run, template, and both sides"
        assert len(git(tmp_path, "worktree", "list").splitlines()) == 2
    finally:
        run.send_signal(how)
        run.wait(LIMIT_S)
    nothing_left()
    assert len(git(tmp_path, "worktree", "list").splitlines()) == 1
