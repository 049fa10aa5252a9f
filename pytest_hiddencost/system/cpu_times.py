"""CPU time of this thread, of the other threads of the process, and of its child processes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_hiddencost.system.memory import PROC

_PARENT = 1  # fields of /proc/PID/stat, after the name
_OWN, _REAPED = slice(11, 13), slice(13, 15)  # user and system time, of ended children as well


@dataclass(frozen=True)
class CpuTimes:
    """CPU times in ns since a fixed moment; the difference of two is the time spent in between.

    ``python_threads_ns`` holds the other threads that Python knows, by their number; it is empty if
    the system does not report them. ``children_ns`` includes children of children that still run.
    """

    wall_ns: int
    thread_ns: int
    process_ns: int
    children_ns: int = 0
    python_threads_ns: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CpuSpent:
    """CPU times in ns between two moments."""

    wall_ns: int
    other_threads_ns: int  # of all threads of this process except the calling one
    python_threads_ns: int  # those among them that Python knows
    children_ns: int


def cpu_times() -> CpuTimes:
    """Return the CPU times until now, as the calling thread sees them."""
    return CpuTimes(
        wall_ns=time.perf_counter_ns(),
        thread_ns=time.thread_time_ns(),
        process_ns=time.process_time_ns(),
        children_ns=_ended_children_ns() + sum(map(_process_ns, _descendants())),
        python_threads_ns=dict(_python_threads()),
    )


def spent(before: CpuTimes, after: CpuTimes) -> CpuSpent:
    """Return the CPU times between two moments; a thread that ended in between counts as 0."""
    known = before.python_threads_ns
    threads = after.python_threads_ns.items()
    own_ns = after.thread_ns - before.thread_ns
    return CpuSpent(
        wall_ns=after.wall_ns - before.wall_ns,
        other_threads_ns=max(0, after.process_ns - before.process_ns - own_ns),
        python_threads_ns=sum(max(0, ns - known.get(thread, 0)) for thread, ns in threads),
        children_ns=max(0, after.children_ns - before.children_ns),
    )


def _python_threads() -> Iterator[tuple[int, int]]:
    if sys.platform != "linux":
        return
    for thread in threading.enumerate():
        number = thread.native_id
        # Threads of libraries that once ran Python code, such as those of autograd, are dummies.
        foreign = isinstance(thread, threading._DummyThread)
        if number is None or foreign or thread is threading.current_thread():
            continue
        try:  # the number that Linux gives to the CPU clock of a thread
            yield number, time.clock_gettime_ns(~number << 3 | 6)
        except OSError:  # the thread has ended
            continue


def _ended_children_ns() -> int:
    try:
        from resource import RUSAGE_CHILDREN, getrusage  # POSIX
    except ImportError:
        return 0
    found = getrusage(RUSAGE_CHILDREN)
    return round((found.ru_utime + found.ru_stime) * 1e9)


def _descendants() -> list[int]:
    """Return the child processes and their children; none where there is no ``/proc``."""
    if not _has_children():
        return []
    children: dict[int, list[int]] = {}
    for number in _processes():
        if (fields := _stat(number)) is not None:
            children.setdefault(int(fields[_PARENT]), []).append(number)
    found = [os.getpid()]
    for number in found:  # grows meanwhile
        found += children.get(number, [])
    return found[1:]


def _has_children() -> bool:
    """Return whether this process has any child: a quick test, since reading them all is slow."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (AttributeError, OSError):  # not POSIX, or no child
        return False
    return True


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir(PROC) if name.isdigit()]
    except OSError:
        return []


def _process_ns(process: int) -> int:
    """Return the CPU time of a process and of those of its children that it has waited for."""
    fields = _stat(process)
    if fields is None:
        return 0
    try:  # the number that Linux gives to the CPU clock of a process
        own_ns = time.clock_gettime_ns(~process << 3 | 2)
    except OSError:  # it has ended, and waits for its parent to notice
        own_ns = _ticks_ns(fields[_OWN])
    return own_ns + _ticks_ns(fields[_REAPED])


def _ticks_ns(fields: Sequence[str]) -> int:
    return round(sum(map(int, fields)) / os.sysconf("SC_CLK_TCK") * 1e9)


def _stat(process: int) -> list[str] | None:
    """Return the fields of a process after its name, which may hold spaces and brackets."""
    try:
        text = (PROC / str(process) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
