"""The priority that measuring processes ask for: the highest that the system permits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_hiddencost.system import priority
from pytest_hiddencost.system.priority import HIGHEST, raise_priority

pytestmark = pytest.mark.skipif(not hasattr(os, "setpriority"), reason="needs setpriority")

ASK = """
import os, threading
from pytest_hiddencost.system.priority import raise_priority
raise_priority()
found = []
thread = threading.Thread(target=lambda: found.append(os.getpriority(os.PRIO_PROCESS, 0)))
thread.start()
thread.join()
print(os.getpriority(os.PRIO_PROCESS, 0), *found)
"""


class System:
    """A system that permits nice values down to ``permitted``; it starts at ``nice``."""

    def __init__(self, permitted: int, nice: int = 0) -> None:
        self.permitted, self.nice = permitted, nice

    def get(self, which: int, who: int) -> int:
        return self.nice

    def set(self, which: int, who: int, nice: int) -> None:
        if nice < min(self.permitted, self.nice):
            raise PermissionError(13, "Permission denied")
        self.nice = nice


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., System]:
    def make(permitted: int, *, rlimit: int = 0, nice: int = 0, leads: bool = True) -> System:
        import resource

        found = System(permitted, nice)
        monkeypatch.setattr(os, "setpriority", found.set)
        monkeypatch.setattr(os, "getpriority", found.get)
        monkeypatch.setattr(os, "getsid", lambda _: os.getpid() if leads else 1)
        monkeypatch.setattr(priority, "AUTOGROUP", tmp_path / "autogroup")
        monkeypatch.setattr(resource, "RLIMIT_NICE", 13, raising=False)
        monkeypatch.setattr(resource, "getrlimit", lambda which: (rlimit, rlimit))
        return found

    return make


def test_root_gets_the_highest_priority(system: Callable[..., System], tmp_path: Path) -> None:
    found = system(HIGHEST)
    raise_priority()
    assert found.nice == HIGHEST
    assert (tmp_path / "autogroup").read_text() == "-20"


def test_a_user_gets_what_the_limit_permits(system: Callable[..., System], tmp_path: Path) -> None:
    found = system(-10, rlimit=30)
    raise_priority()
    assert found.nice == -10
    assert (tmp_path / "autogroup").read_text() == "-10"


def test_without_a_permission_the_priority_stays(system: Callable[..., System]) -> None:
    found = system(0)
    raise_priority()
    assert found.nice == 0


def test_an_unlimited_user_gets_the_highest_priority(system: Callable[..., System]) -> None:
    found = system(HIGHEST, rlimit=-1)
    raise_priority()
    assert found.nice == HIGHEST


def test_a_niced_run_is_not_lowered_further(system: Callable[..., System], tmp_path: Path) -> None:
    """A limit of 0 stands for 20, which is lower than 10."""
    found = system(10, nice=10)
    raise_priority()
    assert found.nice == 10
    assert not (tmp_path / "autogroup").exists()


def test_a_session_with_other_processes_stays_as_it_is(
    system: Callable[..., System], tmp_path: Path
) -> None:
    found = system(HIGHEST, leads=False)
    raise_priority()
    assert found.nice == HIGHEST
    assert not (tmp_path / "autogroup").exists()


def test_a_system_without_priorities_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "setpriority")
    raise_priority()


def test_threads_started_later_have_the_same_priority() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    own, of_thread = map(int, done.stdout.split())
    assert own == of_thread <= os.getpriority(os.PRIO_PROCESS, 0)
