from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_hiddencost.fleet import device_task
from pytest_hiddencost.fleet.device_task import (
    DONE,
    NO_SOURCES,
    TROUBLE,
    DeviceAnswer,
    DeviceRoom,
    Order,
    carry_out,
)
from pytest_hiddencost.fleet.recorded_entries import baseline_files, changed_entries, restore_files
from pytest_hiddencost.fleet.unpacking import SourcesCache
from pytest_hiddencost.system.reaper import Reaper

REPORT = 'open(os.environ["HIDDENCOST_FLEET_REPORTS"], "a").write'


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceRoom]:
    reaper = Reaper()
    cache, scratch = (tmp_path_factory.mktemp(name) for name in ("cache", "scratch"))
    yield DeviceRoom(SourcesCache(cache), reaper, scratch)
    reaper.close()


def order(code: str, limit_s: float = 60.0, sources: str = "") -> Order:
    program = ("-I", "-S", "-c", f"import os, sys, time, signal; {code}")
    return Order("t", "board", sources, command=program, limit_s=limit_s)


def test_reports_and_lines_come_back(room: DeviceRoom) -> None:
    lines = [json.dumps({"when": "call"}), json.dumps({"line": ["baselines: 1 added", "green"]})]
    answer = carry_out(order(f"{REPORT}({chr(10).join(lines) + chr(10)!r})"), room, lambda: True)
    assert answer.status == DONE
    assert answer.reports == ({"when": "call"},)
    assert answer.lines == (("baselines: 1 added", "green"),)


def test_a_crash_ends_the_tests_process_alone(room: DeviceRoom) -> None:
    code = f"{REPORT}('{{\"whole\": 1}}\\n{{\"cut'); print('the end', flush=True); os.abort()"
    answer = carry_out(order(code), room, lambda: True)
    assert (answer.status, answer.exit_code) == (DONE, -6)
    assert answer.reports == ({"whole": 1},)
    assert "the end" in answer.output


def test_a_hanging_test_ends_at_its_limit(room: DeviceRoom) -> None:
    answer = carry_out(order("time.sleep(60)", limit_s=0.1), room, lambda: True)
    assert answer.status == TROUBLE
    assert answer.reason == "the test took longer than 0.1 s (--hiddencost-fleet-limit)"


def test_a_cancelled_test_leaves_no_process(room: DeviceRoom, tmp_path: Path) -> None:
    code = f"import subprocess; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(60)"  # noqa: E501
    answer = carry_out(order(code), room, lambda: not (tmp_path / "pid").exists())
    assert answer.reason == "the run no longer wanted the answer"
    pid = int((tmp_path / "pid").read_text() or 0)
    for _ in range(100):
        if not pid or not _alive(pid):
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"process {pid} still runs")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_process_that_the_system_killed_is_trouble_of_the_device(room: DeviceRoom) -> None:
    answer = carry_out(order("os.kill(os.getpid(), signal.SIGKILL)"), room, lambda: True)
    assert answer.status == TROUBLE
    assert "perhaps for want of memory" in answer.reason


def test_a_device_with_a_full_disk_says_so(
    room: DeviceRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_task, "LEAST_FREE_BYTES", 2**80)
    answer = carry_out(order("pass"), room, lambda: True)
    assert answer.status == TROUBLE
    assert answer.reason.startswith("its disk is full: ")


def test_a_device_without_the_sources_asks_for_them(room: DeviceRoom) -> None:
    assert carry_out(order("pass", sources="unknown"), room, lambda: True).status == NO_SOURCES


def test_sources_that_cannot_be_unpacked_are_trouble(room: DeviceRoom) -> None:
    room.cache.add("broken", b"no archive")
    answer = carry_out(order("pass", sources="broken"), room, lambda: True)
    assert answer.status == TROUBLE
    assert not room.cache.has("broken")


def test_recorded_entries_are_taken_and_the_files_put_back(tmp_path: Path) -> None:
    def document(**entries: object) -> str:
        found = {"device": {"key": "k"}, "module": "test_a.py", "entries": entries}
        return json.dumps(found)

    folder = tmp_path / "k"
    folder.mkdir()
    (folder / "test_a.py.json").write_text(document(test_old={"": {"n": 1}}))
    before = baseline_files(tmp_path)
    (folder / "test_a.py.json").write_text(
        document(test_old={"": {"n": 1}}, test_new={"big": {"n": 2}})
    )
    (folder / "other.json").write_text(document())
    [found] = changed_entries(before, baseline_files(tmp_path))
    assert (found.module, found.test, found.label) == ("test_a.py", "test_new", "big")
    assert found.entry == {"n": 2}
    restore_files(tmp_path, before)
    assert baseline_files(tmp_path) == before
    assert not os.path.exists(folder / "other.json")


def test_files_of_a_test_lie_in_the_folder_that_goes_with_the_device(room: DeviceRoom) -> None:
    code = 'print(os.path.dirname(os.environ["HIDDENCOST_FLEET_REPORTS"]))'
    answer = carry_out(order(code), room, lambda: True)
    folder = Path(answer.output.strip())
    assert folder.parent == room.scratch
    assert not folder.exists()


@pytest.mark.parametrize(
    ("test", "argument"),
    [
        ("tests/test_it.py::test_it[a]", "/top/root/tests/test_it.py::test_it[a]"),
        ("hiddencost-model::pkg.m:Net[1x3-eager]", "hiddencost-model::pkg.m:Net[1x3-eager]"),
    ],
)
def test_the_process_of_a_test_runs_this_test_alone(test: str, argument: str) -> None:
    found = device_task._arguments(Order(test, "board", root="root"), Path("/top"), Path("/own"))
    assert found[-1] == argument
    assert "--rootdir=/top/root" in found


@pytest.mark.parametrize(
    ("plugins", "found", "arguments"),
    [
        (("xdist", "_cov"), {"xdist", "pytest_cov"}, {"-n0", "--no-cov"}),
        (("xdist", "_cov"), {"pytest_cov"}, {"--no-cov"}),
        ((), {"xdist", "pytest_cov"}, set()),
        (("terminal", "tmpdir"), set(), {"--color=no", "--basetemp=/own/tmp"}),
        (("cacheprovider",), set(), {"-o", "cache_dir=/own/cache"}),
        (("faulthandler",), set(), set()),
    ],
)
def test_only_plugins_of_the_run_and_the_device_get_arguments(
    monkeypatch: pytest.MonkeyPatch,
    plugins: tuple[str, ...],
    found: set[str],
    arguments: set[str],
) -> None:
    """The run may have switched them off, by ``-p no:xdist``: pytest then refuses ``-n0``."""
    monkeypatch.setattr(device_task, "find_spec", lambda name: name if name in found else None)
    bare = device_task._arguments(Order("test_it.py::test_it", "board"), Path("/top"), Path("/own"))
    order_of_run = Order("test_it.py::test_it", "board", plugins=plugins)
    all_of_them = device_task._arguments(order_of_run, Path("/top"), Path("/own"))
    assert set(all_of_them) - set(bare) == arguments
    assert not {"-n0", "--no-cov"} & set(bare)


@pytest.mark.parametrize("refusal", [errno.ENOSYS, errno.EPERM])
def test_a_system_without_descriptors_of_processes_runs_tests(
    room: DeviceRoom, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    def refused(pid: int) -> int:
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(os, "pidfd_open", refused, raising=False)
    answer = carry_out(order("sys.exit(3)"), room, lambda: True)
    assert (answer.status, answer.exit_code) == (DONE, 3)


@pytest.mark.parametrize(
    ("task", "status", "wanted"),
    [
        ("executing", "running", True),
        ("executing", "paused", True),
        ("cancelled", "running", False),
        (None, "running", False),
        ("executing", "closing", False),
        ("executing", "closed", False),
        ("executing", "failed", False),
    ],
)
def test_a_worker_that_lost_its_scheduler_wants_no_answer(
    task: str | None, status: str, wanted: bool
) -> None:
    """It leaves the states of its tasks as they were."""
    distributed = pytest.importorskip("distributed")
    tasks = {} if task is None else {"key": SimpleNamespace(state=task)}
    state = SimpleNamespace(tasks=tasks)
    worker = SimpleNamespace(state=state, status=distributed.Status[status])
    assert device_task._wanted(worker, "key") is wanted


def test_a_test_waits_until_the_one_before_has_ended(room: DeviceRoom, tmp_path: Path) -> None:
    """A device that joins again has a new worker, beside the thread of the old one."""
    pid, lost = tmp_path / "pid", threading.Event()
    code = f"open({str(tmp_path / 'new')!r}, 'w').write(str(os.getpid())); "
    code += f"os.rename({str(tmp_path / 'new')!r}, {str(pid)!r}); time.sleep(60)"
    answers: dict[str, DeviceAnswer] = {}

    def run(name: str, one: Order) -> None:
        answers[name] = carry_out(one, room, lambda: name == "new" or not lost.is_set())

    old = threading.Thread(target=run, args=("old", order(code)))
    old.start()
    while not pid.exists():
        assert old.is_alive()
        time.sleep(0.01)
    number = pid.read_text()
    code = f"print(os.path.exists('/proc/{number}'), flush=True)"
    new = threading.Thread(target=run, args=("new", order(code)))
    new.start()
    new.join(0.5)  # enough for a process that does not wait
    lost.set()
    for thread in (old, new):
        thread.join(60)
    assert answers["old"].reason == "the run no longer wanted the answer"
    assert answers["new"].output == "False\n"
