"""Fresh processes that measure the same tests again: launches.

A replica is a pytest of its own, started with the arguments of this run, but for what selects
tests, distributes them, or writes files that are this run's. It measures, judges nothing, and
leaves what it measured in a file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.errors import FormatError
from pytest_hiddencost.records import Profile

PLUGIN = "pytest_hiddencost.replica"
START_S = 120.0  # imports and collection, on a board
EACH_S = 60.0  # every test, beyond its timed calls
TIMES_MAX = 20  # of max-time
# What stops for a person, or picks tests by what an earlier run left in its cache.
LEFT_OUT = frozenset(
    {
        "--pdb", "--trace", "--lf", "--last-failed", "--ff", "--failed-first", "--nf",
        "--new-first", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset",
        "--stepwise-reset", "--cache-clear", "--pyargs", "--exitfirst", "-x",
        "--hiddencost-update", "--hiddencost-update-new", "--hiddencost-selftest",
    }
)  # fmt: skip

Key = tuple[str, str]  # test, label


@dataclass(frozen=True)
class Invocation:
    """How pytest was started: ``arguments`` without what selects tests."""

    directory: Path
    root: Path
    ini: Path | None
    arguments: tuple[str, ...]
    max_time_ns: int


def without_selection(arguments: Sequence[str], selected: Sequence[str]) -> tuple[str, ...]:
    """The arguments less the files, folders and node ids ``selected`` by them.

    Where the same word is the value of an option as well, the one after an option is kept.
    """
    kept = list(arguments)
    for word in selected:
        places = [i for i, argument in enumerate(kept) if argument == word]
        free = [i for i in places if i == 0 or not kept[i - 1].startswith("-")]
        if found := (free or places):
            del kept[found[-1]]
    return tuple(argument for argument in kept if argument not in LEFT_OUT)


def pytest_command(
    invocation: Invocation,
    plugins: frozenset[str],
    folder: Path,
    python: str = sys.executable,
) -> list[str]:
    """A pytest that is started like this run, and leaves what it writes in ``folder``.

    ``plugins`` are those of this run; what selects tests is still to be added.
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


def fresh_environment() -> dict[str, str]:
    """The environment of a pytest that is none of this run's workers."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_XDIST")}
    environment.pop("PYTEST_CURRENT_TEST", None)
    return environment


def last_words(output: Path) -> str:
    """The end of what a process printed, on one line."""
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "; ".join(line.strip() for line in lines[-3:] if line.strip())


class Replicas:
    """Starts replicas, one at a time; ``trouble`` says why the last one left nothing."""

    def __init__(self, invocation: Invocation, plugins: frozenset[str] = frozenset()) -> None:
        self._invocation = invocation
        self._plugins = plugins
        self.trouble = ""
        self.started = 0

    def launch(self, tests: Sequence[str], plant: str = "") -> dict[Key, Profile]:
        """Measure these tests in one fresh process; without those that failed in it."""
        self.started += 1
        with tempfile.TemporaryDirectory(prefix="hiddencost-") as folder:
            result = Path(folder, "replica.json")
            self._run(self._command(tests, Path(folder), result, plant), len(tests), Path(folder))
            return self._read(result)

    def _command(self, tests: Iterable[str], folder: Path, result: Path, plant: str) -> list[str]:
        command = pytest_command(self._invocation, self._plugins, folder)
        command += ["-p", PLUGIN, f"--hiddencost-replica={result}"]
        if plant:
            command.append(f"--hiddencost-plant={plant}")
        return [*command, *(absolute(self._invocation.root, test) for test in tests)]

    def _run(self, command: Sequence[str], tests: int, folder: Path) -> None:
        invocation = self._invocation
        limit_s = START_S + tests * (EACH_S + TIMES_MAX * invocation.max_time_ns / 1e9)
        output = folder / "output.txt"
        self.trouble = ""
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=invocation.directory,
                env=fresh_environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(timeout=limit_s)
            except subprocess.TimeoutExpired:
                self.trouble = f"a fresh launch did not end within {limit_s:.0f} s"
            finally:  # also when the user stops the run
                kill_group(process)
        if process.returncode not in (0, 1) and not self.trouble:
            last = last_words(output)
            self.trouble = (
                f"a fresh launch ended with exit status {process.returncode}: {last:.300}"
            )

    def _read(self, result: Path) -> dict[Key, Profile]:
        try:
            document = json.loads(result.read_text(encoding="utf-8"))
            failed = set(document["failed"])
            profiles = [Profile.from_dict(data) for data in document["profiles"]]
        except (OSError, ValueError, KeyError, TypeError, FormatError) as error:
            self.trouble = self.trouble or f"a fresh launch left nothing behind: {error}"
            return {}
        found = {(p.test, p.label): p for p in profiles if p.test not in failed}
        if failed and not found:
            self.trouble = self.trouble or "the test failed in a fresh launch"
        return found


def write_result(path: Path, profiles: Iterable[Profile], failed: Iterable[str]) -> None:
    """What a replica leaves behind."""
    document = {"profiles": [p.to_dict() for p in profiles], "failed": sorted(failed)}
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


def absolute(root: Path, test: str) -> str:
    """A node id that means the same wherever pytest is started."""
    module, separator, name = test.partition("::")
    return f"{root / module}{separator}{name}"


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, and what it started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (OSError, AttributeError):
            process.kill()
        process.wait()
