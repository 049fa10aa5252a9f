"""Relaunches: fresh processes that measure the same tests again.

A relaunch is a pytest of its own. It is started with the arguments of this run, without those that
select tests, distribute them, or write files that are this run's. It measures, judges nothing, and
leaves its profiles in a file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.core.codec import decode, encode
from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.lengthy import WORTH_SAYING_S, format_wait
from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.system.processes import last_words
from pytest_hiddencost.workers.invocation import (
    SLOWER,
    TIMES_MAX,
    Invocation,
    absolute,
    pytest_arguments,
)
from pytest_hiddencost.workers.starting import START_S, PytestOrder, Starter

EACH_S = 60.0  # every test, beyond its timed calls


@dataclass(frozen=True)
class RelaunchResult:
    """The result of a relaunch: its profiles, and the ids of the tests that failed."""

    profiles: tuple[Profile, ...]
    failed: tuple[str, ...]


class Relaunches:
    """Starts relaunches, one at a time, and shows the progress.

    ``started`` counts them. ``trouble`` is the reason if the last one left no profiles, else empty.
    ``test_s`` has the seconds that each test took in this run, as far as they are known, and
    ``startup_s`` those of the collection. A relaunch may take ``SLOWER`` times as long.
    """

    def __init__(
        self,
        invocation: Invocation,
        starter: Starter,
        plugins: frozenset[str] = frozenset(),
        show: Callable[[str], None] = lambda _: None,
        startup_s: Callable[[], float] = lambda: 0.0,
        test_s: Mapping[str, float] | None = None,
    ) -> None:
        self._show = show
        self._invocation = invocation
        self._starter = starter
        self._plugins = plugins
        self._startup_s = startup_s
        self._test_s = {} if test_s is None else test_s
        self.trouble = ""
        self.started = 0

    def launch(self, tests: Sequence[str], injection: str = "") -> dict[CallKey, Profile]:
        """Measure these tests in one fresh process; leave out those that failed in it.

        ``injection`` names a regression to inject.
        """
        self.started += 1
        known_s = sum(self._test_s.get(test, 0.0) for test in tests)
        about = f", about {format_wait(known_s)}" if known_s >= WORTH_SAYING_S else ""
        self._show(f"relaunch {self.started}: {len(tests)} test{'s' * (len(tests) > 1)}{about}")
        with tempfile.TemporaryDirectory(prefix="hiddencost-") as name:
            folder = Path(name)
            result = folder / "relaunch.json"
            arguments = (
                *pytest_arguments(self._invocation, self._plugins, folder),
                *("-p", "pytest_hiddencost.workers.relaunch_plugin"),
                f"--hiddencost-relaunch={result}",
                f"--hiddencost-injection={injection}",
                *(absolute(self._invocation.root, test) for test in tests),
            )
            limit_s = START_S + SLOWER * (self._startup_s() + known_s)
            limit_s += len(tests) * (EACH_S + TIMES_MAX * self._invocation.max_time_ns / 1e9)
            self._run(arguments, limit_s, folder / "output.txt")
            found = self._read(result)
        self._show("")
        return found

    def _run(self, arguments: tuple[str, ...], limit_s: float, output: Path) -> None:
        self.trouble = ""
        order = PytestOrder(sys.executable, arguments, self._invocation.directory)
        process = self._starter.start(order, output)
        try:
            status = process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.trouble = (
                f"a relaunch did not end within {limit_s:.0f} s; if it was at work, let it take "
                "longer with --hiddencost-max-time"
            )
            return
        finally:  # also when the user stops the run
            self._starter.end(process)
        if status not in (0, 1):
            last = last_words(output)
            self.trouble = f"a relaunch ended with exit status {status}: {last:.300}"

    def _read(self, path: Path) -> dict[CallKey, Profile]:
        try:
            text = path.read_text(encoding="utf-8")
            result = decode(RelaunchResult, json.loads(text), "relaunch")
        except (OSError, ValueError, FormatError) as error:
            self.trouble = self.trouble or f"a relaunch wrote no profiles: {error}"
            return {}
        found = {p.key: p for p in result.profiles if p.test not in result.failed}
        if result.failed and not found:
            self.trouble = self.trouble or "the test failed in a relaunch"
        return found


def write_result(path: Path, result: RelaunchResult) -> None:
    """Write the result of a relaunch."""
    path.write_text(json.dumps(encode(result), allow_nan=False), encoding="utf-8")
