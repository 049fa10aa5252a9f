"""The output that a user captures in a fresh process: none of ours, and all of theirs.

Torch's profiler prints to file descriptor 2, from the first session of a process on.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.suites import RUN_FILE, run_apart

pytestmark = pytest.mark.end_to_end

CAPTURES = """
def test_nothing_of_ours(hiddencost, capture):
    hiddencost(MODEL, X)
    assert not any(capture.readouterr())

def test_all_of_theirs(hiddencost, capfd):
    calls = []
    def talkative(x):
        calls.append(1)
        os.write(1, b"to one\\n")
        os.write(2, b"to two\\n")
        return x + 1

    hiddencost(talkative, X)
    out, err = capfd.readouterr()
    assert out == "to one\\n" * len(calls)
    assert err == "to two\\n" * len(calls)

def test_all_they_print(hiddencost, capsys):
    calls = []
    def talkative(x):
        calls.append(1)
        print("to one")
        print("to two", file=sys.stderr)
        return x + 1

    hiddencost(talkative, X)
    out, err = capsys.readouterr()
    assert out == "to one\\n" * len(calls)
    assert err == "to two\\n" * len(calls)

def test_nothing_of_ours_at_an_error(hiddencost, capfd):
    def raising(x):
        if torch.autograd._profiler_enabled():
            raise KeyError
        return x + 1

    with pytest.raises(KeyError):
        hiddencost(raising, X)
    assert tuple(capfd.readouterr()) == ("", "")

def test_descriptors(hiddencost):
    before = sorted(os.listdir("/proc/self/fd"))
    hiddencost(MODEL, X)
    assert sorted(os.listdir("/proc/self/fd")) == before

def test_logs(hiddencost, caplog):
    caplog.set_level(0)
    hiddencost(MODEL, X)
    assert caplog.records == []

def test_environment(hiddencost):
    before = dict(os.environ)
    hiddencost(MODEL, X)
    assert dict(os.environ) == before
"""
FIXTURES = """
import os
import sys

@pytest.fixture(params=["capfd", "capsys", "capfdbinary", "capteesys"])
def capture(request):
    found = request.getfixturevalue(request.param)
    yield found
"""
THEIR_PROFILER = """
@pytest.fixture(scope="session", autouse=True)
def their_own_profiler():
    with torch.profiler.profile() as session:
        torch.ones(1)
"""


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("", id="ours first"),
        pytest.param(THEIR_PROFILER, id="theirs first", marks=pytest.mark.nightly),
    ],
)
def test_what_tests_capture_and_what_is_left_of_a_run(tmp_path: Path, first: str) -> None:
    """Kineto prints to file descriptor 2, from the first session of a process on."""
    tests = [FIXTURES, first, CAPTURES]
    done = run_apart(tmp_path, tests, "-s", "-rfE", "--tb=short", f"--hiddencost-json={RUN_FILE}")
    assert done.code == 0, done.output
    if not first:
        assert done.stderr == ""
        assert not re.search("profiler_st|USDT|thop|INFO", done.stdout)
