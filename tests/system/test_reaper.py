"""The reaper: it removes what the run named, only that, and also if the run is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_hiddencost.system.reaper import FOLDER, Reaper, tidy_up
from tests.repositories import commit, git

PATIENCE_S = 60.0
SLEEPER = "import time; time.sleep(600)"
# A group of two processes.
GROUP = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
print(child.pid, flush=True)
time.sleep(600)
"""
NAMES = ["plain", "with space", "with\nnewline", "Überprüfung-模型", "-option", "quo'te\"s"]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that end with the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], program: str, *arguments: object) -> list[int]:
    """Start a process in a session of its own; return its id and the ids on its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    started.append(process)
    assert process.stdout is not None
    return [process.pid, *map(int, process.stdout.readline().split())]


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def filled(path: Path) -> Path:
    (path / "inside").mkdir(parents=True)
    (path / "inside" / "file").write_text("x")
    return path


# --- the end of a run ----------------------------------------------------------------------------


def test_a_group_of_processes_ends_as_a_whole(started: list[subprocess.Popen[str]]) -> None:
    pids = start(started, GROUP)
    assert len(pids) == 2
    reaper = Reaper()
    reaper.process(pids[0])
    assert not any(map(gone, pids)), "the reaper waits for the end of the run"
    reaper.close()
    assert eventually(lambda: all(map(gone, pids)))
    assert started[0].wait() == -signal.SIGKILL


def test_a_group_ends_even_if_its_first_process_has_ended(
    started: list[subprocess.Popen[str]],
) -> None:
    leader, child = start(started, GROUP)
    reaper = Reaper()
    reaper.process(leader)
    os.kill(leader, signal.SIGKILL)
    assert started[0].wait() == -signal.SIGKILL
    assert not gone(child)
    reaper.close()
    assert eventually(lambda: gone(child))


def test_a_process_that_was_withdrawn_is_left_alone(started: list[subprocess.Popen[str]]) -> None:
    """Another process may have its number by then."""
    [kept] = start(started, "import time; print(flush=True); time.sleep(600)")
    [ended] = start(started, "import time; print(flush=True); time.sleep(600)")
    reaper = Reaper()
    for pid in (ended, kept):
        reaper.process(pid)
    reaper.ended(ended)
    reaper.close()
    assert eventually(lambda: gone(kept))
    assert not gone(ended)


@pytest.mark.parametrize("name", NAMES)
def test_folders_are_removed_whatever_their_name(tmp_path: Path, name: str) -> None:
    folder, other = filled(tmp_path / name), filled(tmp_path / f"{name}2")
    reaper = Reaper()
    reaper.folder(folder)
    assert folder.is_dir()
    reaper.close()
    assert not folder.exists()
    assert (other / "inside" / "file").is_file()


def test_a_folder_whose_name_is_no_text_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        filled(folder)
    except OSError:
        pytest.skip("this file system holds text only")
    reaper = Reaper()
    try:
        reaper.folder(folder)
    finally:
        reaper.close()
    assert not folder.exists()


def test_the_target_of_a_link_stays(tmp_path: Path) -> None:
    outside = filled(tmp_path / "outside")
    folder = filled(tmp_path / "folder")
    (folder / "link").symlink_to(outside, target_is_directory=True)
    reaper = Reaper()
    reaper.folder(folder)
    reaper.close()
    assert not folder.exists()
    assert (outside / "inside" / "file").is_file()


def test_tasks_that_are_done_already_do_not_stop_the_others(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    [ended] = start(started, "print()")
    started[0].wait()
    reaper = Reaper()
    folder = filled(tmp_path / "folder")
    reaper.folder(folder)
    reaper.folder(tmp_path / "never made")
    reaper.worktree(tmp_path / "no repository", tmp_path / "no worktree")
    reaper.process(ended)
    reaper.close()
    assert not folder.exists()


def test_closing_twice_and_tasks_after_that_are_no_error(tmp_path: Path) -> None:
    reaper = Reaper()
    reaper.close()
    reaper.close()
    reaper.folder(filled(tmp_path / "late"))
    assert (tmp_path / "late").is_dir()


def test_a_run_whose_reaper_was_killed_goes_on(tmp_path: Path) -> None:
    reaper = Reaper()
    os.kill(reaper._process.pid, signal.SIGKILL)
    reaper._process.wait()
    reaper.folder(filled(tmp_path / "folder"))
    reaper.close()


def test_the_reaper_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reaper = Reaper()
    reaper.folder(filled(tmp_path / "folder"))
    reaper.worktree(tmp_path, tmp_path / "no worktree")
    reaper.process(2**22 + 1)  # no such process
    reaper.close()
    assert capfd.readouterr() == ("", "")


def test_a_line_that_was_cut_off_is_ignored(tmp_path: Path) -> None:
    """Half a path, which a killed run may leave, can be that of a folder of the user's."""
    named, user = filled(tmp_path / "named"), filled(tmp_path / "user")
    code = str(user / "inside").encode().hex()
    half = code[: 2 * len(str(user))]
    for rest in (half, half[:-1]):
        filled(named / "again")
        tidy_up([f"{FOLDER} {str(named).encode().hex()}\n".encode(), f"{FOLDER} {rest}".encode()])
        assert not named.exists()
        assert (user / "inside" / "file").is_file()


# --- a run that is killed -----------------------------------------------------------------------

RUN = f"""
import signal, subprocess, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run with it ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from pytest_hiddencost.system.reaper import Reaper
reaper = Reaper()
folder = Path(sys.argv[1])
folder.mkdir()
reaper.folder(folder)
sleeper = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], start_new_session=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
reaper.process(sleeper.pid)
print(sleeper.pid, flush=True)
{{then}}
"""
SLEEPS = RUN.format(then="time.sleep(600)")
# A test may leave such a process running; it holds the open files of the run.
FORKS = """
import os
forked = os.fork()
if not forked:
    os.close(1)
    os.close(2)
    time.sleep(600)
print(forked, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_killed_leaves_nothing_behind(
    tmp_path: Path, started: list[subprocess.Popen[str]], how: signal.Signals
) -> None:
    folder = tmp_path / "a folder"
    run, sleeper = start(started, SLEEPS, folder)
    assert folder.is_dir()
    assert not gone(sleeper)
    os.killpg(run, how)  # a terminal signals all processes of the run at once
    out, err = started[0].communicate(timeout=PATIENCE_S)
    assert eventually(lambda: gone(sleeper) and not folder.exists())
    assert out == ""
    assert err == "" or (how == signal.SIGINT and err.rstrip().endswith("KeyboardInterrupt"))


@pytest.mark.parametrize("then", ["sys.exit(3)", "raise SystemError", "import os; os._exit(0)"])
def test_a_run_that_does_not_close_the_reaper_leaves_nothing_behind(
    tmp_path: Path, started: list[subprocess.Popen[str]], then: str
) -> None:
    folder = tmp_path / "folder"
    _, sleeper = start(started, RUN.format(then=then), folder)
    started[0].communicate(timeout=PATIENCE_S)
    assert eventually(lambda: gone(sleeper) and not folder.exists())


def test_a_fork_that_outlives_a_killed_run_keeps_nothing_alive(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "folder"
    run, sleeper = start(started, RUN.format(then=f"{FORKS}\ntime.sleep(600)"), folder)
    assert started[0].stdout is not None
    forked = int(started[0].stdout.readline())
    try:
        os.kill(run, signal.SIGKILL)
        assert eventually(lambda: gone(sleeper) and not folder.exists())
        assert not gone(forked), "the run did not name it"
    finally:
        os.kill(forked, signal.SIGKILL)


def test_a_fork_that_outlives_the_run_does_not_hold_up_its_end(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "folder"
    program = RUN.format(then=f"{FORKS}\nreaper.close()\nprint(0, flush=True)")
    _, sleeper = start(started, program, folder)
    assert started[0].stdout is not None
    forked = int(started[0].stdout.readline())
    try:
        _, err = started[0].communicate(timeout=2 * PATIENCE_S)
        assert (err, started[0].returncode) == ("", 0)
        assert gone(sleeper)
        assert not folder.exists()
    finally:
        os.kill(forked, signal.SIGKILL)


# --- worktrees ----------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a worktree of the user's, and one whose folder the user deleted."""
    top = tmp_path / "a repository"
    top.mkdir()
    (top / "file").write_text("one")
    commit(top)
    for name in ("users", "deleted"):
        git(top, "worktree", "add", "--quiet", "--detach", str(tmp_path / name))
    shutil.rmtree(tmp_path / "deleted")
    return top


def worktrees(top: Path) -> str:
    return git(top, "worktree", "list", "--porcelain")


@needs_git
@pytest.mark.parametrize("name", NAMES)
def test_a_worktree_is_removed_and_those_of_the_user_stay(
    tmp_path: Path, repository: Path, name: str
) -> None:
    before = worktrees(repository)
    path = tmp_path / "made" / name
    git(repository, "worktree", "add", "--quiet", "--detach", str(path))
    (path / "file").write_text("changed")
    (path / "new").write_text("never committed")
    reaper = Reaper()
    reaper.worktree(repository, path)
    assert worktrees(repository) != before
    reaper.close()
    assert worktrees(repository) == before
    for kept in (repository, tmp_path / "users", tmp_path / "deleted"):
        assert f"worktree {kept}\n" in before
    assert not path.exists()
    assert (tmp_path / "users" / "file").read_text() == "one"


@needs_git
def test_a_locked_worktree_is_removed(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "made"
    git(repository, "worktree", "add", "--quiet", "--detach", "--lock", str(path))
    reaper = Reaper()
    reaper.worktree(repository, path)
    reaper.close()
    assert not path.exists()
    assert str(path) not in worktrees(repository)


@needs_git
def test_the_entry_of_a_deleted_worktree_is_removed(tmp_path: Path, repository: Path) -> None:
    before = worktrees(repository)
    path = tmp_path / "made"
    git(repository, "worktree", "add", "--quiet", "--detach", str(path))
    reaper = Reaper()
    reaper.worktree(repository, path)
    shutil.rmtree(path)
    reaper.close()
    assert worktrees(repository) == before


@needs_git
def test_a_worktree_is_removed_from_within_a_hook(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made"
    git(repository, "worktree", "add", "--quiet", "--detach", str(path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    reaper = Reaper()
    reaper.worktree(repository, path)
    reaper.close()
    assert str(path) not in worktrees(repository)
    assert not (tmp_path / "index").exists()


@needs_git
def test_a_folder_around_a_worktree_is_removed_with_it(tmp_path: Path, repository: Path) -> None:
    around = filled(tmp_path / "around")
    reaper = Reaper()
    reaper.folder(around)
    reaper.worktree(repository, around / "tree")
    git(repository, "worktree", "add", "--quiet", "--detach", str(around / "tree"))
    reaper.close()
    assert not around.exists()
    assert str(around / "tree") not in worktrees(repository)


@needs_git
def test_folders_are_removed_even_without_git(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made"
    git(repository, "worktree", "add", "--quiet", "--detach", str(path))
    other = filled(tmp_path / "other")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path / "nothing here"))
        reaper = Reaper()
        reaper.folder(other)
        reaper.worktree(repository, path)
        reaper.close()
    assert not path.exists()
    assert not other.exists()
