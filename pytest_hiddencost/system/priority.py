"""The priority of this process over others that want the same cores."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

HIGHEST = -20  # a nice value: the lower, the higher the priority
# Linux may share the processor among sessions first, then among the processes of each session.
# See "The autogroup feature" in sched(7).
AUTOGROUP = Path("/proc/self/autogroup")


def raise_priority() -> None:
    """Give this process the highest priority that the system permits.

    Call it before the process starts threads: each has the priority of the one that started it.
    The system permits it to root, to the capability CAP_SYS_NICE, and as far as ``ulimit -e``
    says. Otherwise the priority stays as it is.
    """
    if not hasattr(os, "setpriority"):
        return
    for nice in dict.fromkeys((HIGHEST, _lowest_permitted())):
        if nice >= os.getpriority(os.PRIO_PROCESS, 0):
            return
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)
            if os.getsid(0) == os.getpid():  # in a session of others, theirs would be raised too
                AUTOGROUP.write_text(str(nice), encoding="ascii")
            return


def _lowest_permitted() -> int:
    """Return the lowest nice value that this user may set."""
    import resource  # not on Windows

    limit = getattr(resource, "RLIMIT_NICE", None)
    if limit is None:
        return 0
    soft, _ = resource.getrlimit(limit)
    return HIGHEST if soft == resource.RLIM_INFINITY else max(HIGHEST, 20 - soft)
