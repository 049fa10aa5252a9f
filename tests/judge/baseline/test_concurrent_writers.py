"""Baselines and several processes: no update is lost, and a killed one leaves a whole file."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_hiddencost.judge.baseline.entries import Entry
from tests.judge.baseline.stored_entries import MODULE, OTHER, entry, environment, snapshot, store

MANY = 100  # operators: a file of many blocks

FOREVER = f"""
import sys
from itertools import count
from pathlib import Path
from tests.judge.baseline.stored_entries import MODULE, OTHER, entry, store
baselines = store(Path(sys.argv[1]))
for number in count(int(sys.argv[2])):
    made = entry(number, operators={MANY})
    baselines.update({{(m, t, ""): made for m in (MODULE, OTHER) for t in ("test_a", "test_b")}})
    print(number, flush=True)
"""

KILLED = f"""
import os, signal, sys
from pathlib import Path
from tests.judge.baseline.stored_entries import MODULE, entry, store
point, when = sys.argv[2].split("-")
called = getattr(os, point)
def killing(*arguments):
    if when == "after":
        called(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, point, killing)
store(Path(sys.argv[1])).update({{(MODULE, "test_a", ""): entry(2, operators={MANY})}})
"""

TAKING_TURNS = """
import sys
from pathlib import Path
from tests.judge.baseline.stored_entries import MODULE, OTHER, entry, store
base, name, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.stdin.readline()
for number in range(1, rounds + 1):
    store(base).update(
        {
            (MODULE, f"test_{name}_{number}", ""): entry(number),
            (MODULE, f"test_{name}_dropped", ""): entry(1) if number < rounds else None,
            (OTHER, "test_of_all", ""): entry(number),
        }
    )
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / ".hiddencost"


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own that can import the tests."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def recorded(base: Path, module: str, test: str) -> Entry:
    found = store(base).entry(module, test, "")
    assert found is not None
    return found


def leftovers(base: Path) -> list[str]:
    return [name for name in snapshot(base) if name.endswith(".tmp")]


@pytest.mark.parametrize("kills", [5, pytest.param(40, marks=pytest.mark.nightly)])
def test_a_process_killed_at_any_moment_leaves_a_whole_file(base: Path, kills: int) -> None:
    moments = random.Random(5)
    number = 1
    for kill in range(kills):
        with start(FOREVER, base, number) as process:
            assert process.stdout
            number = int(process.stdout.readline())
            time.sleep(moments.uniform(0, 0.04))
            process.kill()
            number += len(process.stdout.readlines())
        for module in (MODULE, OTHER):
            one, other = (recorded(base, module, test) for test in ("test_a", "test_b"))
            assert one == other == entry(one.p50_ns[0], operators=MANY)
            assert one.p50_ns[0] in (number, number + 1)  # printed, or written and not yet printed
        store(base).update({(MODULE, f"test_after_{kill}", ""): entry(1)})
        assert not leftovers(base)
        number += 2
    assert len(store(base).entries(MODULE)) == 2 + kills


@pytest.mark.parametrize(
    ("point", "left", "number"),
    [("fsync-before", 1, 1), ("replace-before", 1, 1), ("replace-after", 0, 2)],
)
def test_a_process_killed_at_the_worst_moment_leaves_a_whole_file(
    base: Path, point: str, left: int, number: int
) -> None:
    store(base).update({(MODULE, "test_a", ""): entry(1, operators=MANY)})
    with start(KILLED, base, point) as process:
        assert process.wait() == -signal.SIGKILL
    assert len(leftovers(base)) == left
    assert store(base).modules() == [MODULE]
    assert recorded(base, MODULE, "test_a") == entry(number, operators=MANY)
    store(base).update({(MODULE, "test_b", ""): entry(3)})
    assert leftovers(base) == []
    assert recorded(base, MODULE, "test_a") == entry(number, operators=MANY)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_that_update_at_once_lose_nothing_of_each_other(
    base: Path, processes: int
) -> None:
    rounds = 8
    started = [start(TAKING_TURNS, base, name, rounds) for name in range(processes)]
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
    assert [process.returncode for process in started] == [0] * processes
    assert dict(store(base).entries(MODULE)) == {
        (f"test_{name}_{number}", ""): entry(number)
        for name in range(processes)
        for number in range(1, rounds + 1)
    }
    assert recorded(base, OTHER, "test_of_all").p50_ns[0] == rounds
    assert not leftovers(base)
