"""Relaunches: fresh processes that measure the same tests again.

A relaunch is a pytest of its own. It is started with the arguments of this run, without those that
select tests, distribute them, or write files that are this run's. It measures, judges nothing, and
leaves its profiles in a file.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.system.processes import fresh_environment, kill_group, last_words
from pytest_hiddencost.workers.invocation import (
    START_S,
    TIMES_MAX,
    Invocation,
    absolute,
    pytest_command,
    start_process,
)

EACH_S = 60.0  # every test, beyond its timed calls


@dataclass(frozen=True)
class RelaunchResult:
    """What a relaunch leaves behind: its profiles, and the ids of the tests that failed."""

    profiles: tuple[Profile, ...]
    failed: tuple[str, ...]


class Relaunches:
    """Starts relaunches, one at a time.

    ``started`` counts them. ``trouble`` says why the last one left nothing; empty if it did.
    """

    def __init__(self, invocation: Invocation, plugins: frozenset[str] = frozenset()) -> None:
        self._invocation = invocation
        self._plugins = plugins
        self.trouble = ""
        self.started = 0

    def launch(self, tests: Sequence[str], injection: str = "") -> dict[CallKey, Profile]:
        """Measure these tests in one fresh process; leave out those that failed in it.

        ``injection`` names a regression to inject.
        """
        self.started += 1
        with tempfile.TemporaryDirectory(prefix="hiddencost-") as name:
            folder = Path(name)
            result = folder / "relaunch.json"
            command = pytest_command(self._invocation, self._plugins, folder)
            command += ["-p", "pytest_hiddencost.workers.relaunch_plugin"]
            command += [f"--hiddencost-relaunch={result}", f"--hiddencost-injection={injection}"]
            command += [absolute(self._invocation.root, test) for test in tests]
            self._run(command, len(tests), folder / "output.txt")
            return self._read(result)

    def _run(self, command: Sequence[str], tests: int, output: Path) -> None:
        invocation = self._invocation
        limit_s = START_S + tests * (EACH_S + TIMES_MAX * invocation.max_time_ns / 1e9)
        self.trouble = ""
        process = start_process(command, invocation.directory, output, fresh_environment())
        try:
            process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.trouble = f"a relaunch did not end within {limit_s:.0f} s"
        finally:  # also when the user stops the run
            kill_group(process)
        if process.returncode not in (0, 1) and not self.trouble:
            last = last_words(output)
            self.trouble = f"a relaunch ended with exit status {process.returncode}: {last:.300}"

    def _read(self, path: Path) -> dict[CallKey, Profile]:
        try:
            text = path.read_text(encoding="utf-8")
            result = decode(RelaunchResult, json.loads(text), "relaunch")
        except (OSError, ValueError, FormatError) as error:
            self.trouble = self.trouble or f"a relaunch left nothing behind: {error}"
            return {}
        found = {(p.test, p.label): p for p in result.profiles if p.test not in result.failed}
        if result.failed and not found:
            self.trouble = self.trouble or "the test failed in a relaunch"
        return found


def write_result(path: Path, result: RelaunchResult) -> None:
    """Write what a relaunch leaves behind."""
    path.write_text(json.dumps(encode(result), allow_nan=False), encoding="utf-8")
