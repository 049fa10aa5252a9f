"""How a run was started, and the command that starts another pytest like it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

START_S = 120.0  # imports and collection, on a board
TIMES_MAX = 20  # of max-time, until a process counts as hanging
# What stops for a person, or picks tests by what an earlier run left in its cache.
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
    """How pytest was started: ``arguments`` without what selects tests."""

    directory: Path
    root: Path
    ini: Path | None
    arguments: tuple[str, ...]
    max_time_ns: int


def without_selection(arguments: Sequence[str], selected: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments less the files, folders and node ids ``selected`` by them.

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
    invocation: Invocation,
    plugins: frozenset[str],
    folder: Path,
    python: str = sys.executable,
) -> list[str]:
    """Return the command of a pytest like this run that leaves its files in ``folder``.

    ``plugins`` are those of this run. The caller adds what selects tests.
    """
    command = [python, "-m", "pytest", *invocation.arguments]
    command += [f"--rootdir={invocation.root}", "--maxfail=0", "--color=no"]
    if "cacheprovider" in plugins:
        command += ["-o", f"cache_dir={folder / 'cache'}"]
    if "tmpdir" in plugins:  # a folder that was given is emptied at the start
        command.append(f"--basetemp={folder / 'tmp'}")
    if invocation.ini is not None:
        command += ["-c", str(invocation.ini)]
    if "xdist" in plugins:
        command.append("-n0")
    if "_cov" in plugins:
        command.append("--no-cov")
    if "junitxml" in plugins:
        command.append(f"--junit-xml={folder / 'junit.xml'}")
    return command


def absolute(root: Path, test: str) -> str:
    """Return a node id that means the same wherever pytest is started."""
    module, separator, name = test.partition("::")
    return f"{root / module}{separator}{name}"
