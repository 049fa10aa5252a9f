"""How a run was started, and how another pytest like it is started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

START_S = 120.0  # imports and collection, on a board
TIMES_MAX = 20  # of max-time, until a process counts as hanging
# These stop for a person, or pick tests by what an earlier run left in its cache.
LEFT_OUT = frozenset(
    {
        "--pdb", "--trace", "--lf", "--last-failed", "--ff", "--failed-first", "--nf",
        "--new-first", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset",
        "--stepwise-reset", "--cache-clear", "--pyargs", "--exitfirst", "-x",
        "--hiddencost-update", "--hiddencost-update-new", "--hiddencost-selftest",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Invocation:
    """How pytest was started; ``arguments`` are those that select no tests."""

    directory: Path
    root: Path
    ini: Path | None
    arguments: tuple[str, ...]
    max_time_ns: int


def without_selection(arguments: Sequence[str], selected: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments without the files, folders and node ids in ``selected``.

    If the same word is the value of an option as well, the one after an option is kept.
    """
    kept = list(arguments)
    for word in selected:
        indices = [i for i, argument in enumerate(kept) if argument == word]
        free = [i for i in indices if i == 0 or not kept[i - 1].startswith("-")]
        if found := (free or indices):
            del kept[found[-1]]
    return tuple(argument for argument in kept if argument not in LEFT_OUT)


def pytest_command(
    invocation: Invocation, plugins: frozenset[str], folder: Path, python: str = sys.executable
) -> list[str]:
    """Return the command of a pytest like this run that writes its files to ``folder``.

    ``plugins`` are those of this run. The caller adds the arguments that select tests.
    """
    command = [python, "-m", "pytest", *invocation.arguments]
    command += [f"--rootdir={invocation.root}", "--maxfail=0", "--color=no"]
    if invocation.ini is not None:
        command += ["-c", str(invocation.ini)]
    arguments = {
        "cacheprovider": ("-o", f"cache_dir={folder / 'cache'}"),
        "tmpdir": (f"--basetemp={folder / 'tmp'}",),  # pytest empties a given folder at its start
        "xdist": ("-n0",),
        "_cov": ("--no-cov",),
        "junitxml": (f"--junit-xml={folder / 'junit.xml'}",),
    }
    return command + [part for name in arguments if name in plugins for part in arguments[name]]


def start_process(
    command: Sequence[str],
    directory: Path,
    output: Path,
    environment: dict[str, str],
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own; what it prints goes to the file ``output``."""
    with output.open("wb") as sink:
        return subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )


def absolute(root: Path, test: str) -> str:
    """Return a node id that means the same wherever pytest is started."""
    module, separator, name = test.partition("::")
    return f"{root / module}{separator}{name}"
