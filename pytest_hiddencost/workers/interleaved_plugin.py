"""The plugin that makes a pytest one side of a pair, loaded with ``-p`` by the run that asks.

It runs the tests that it is asked for, and measures when it is its turn.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

import pytest_hiddencost
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.system.affinity import CorePin, current_core
from pytest_hiddencost.workers import messages
from pytest_hiddencost.workers.channel import Channel, Closed
from pytest_hiddencost.workers.imported_code import module_files
from pytest_hiddencost.workers.messages import Message, RunTest

if TYPE_CHECKING:
    from pytest_hiddencost.measure.latency.sampler import LatencySampler
    from pytest_hiddencost.measure.passes import Windows

MOST_LABELS = 5
# None of the exit codes after which pytest writes a summary: plugins import a lot for theirs.
NO_SUMMARY = 100


class WorkerSide:
    """Answers the run that started this process; a plugin too, to see how tests end."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._request: RunTest | None = None
        self._reached = False
        self._labels: list[str] = []
        self._why = ""
        self._broken: dict[str, str] = {}

    def serve(self, session: pytest.Session) -> None:
        """Run tests as they are asked for, until the other end is closed."""
        items = {item.nodeid: item for item in session.items}
        try:
            version = pytest_hiddencost.__version__
            self.answer(messages.Hello(messages.PROTOCOL, version))
            while True:
                request = self._channel.receive()
                if isinstance(request, RunTest):  # others were meant for a test that is over
                    self._serve_one(request, items.get(request.test))
        except Closed:
            return

    def _serve_one(self, request: RunTest, item: pytest.Item | None) -> None:
        self._request, self._reached, self._labels, self._why = request, False, [], ""
        if item is None:
            self._why = self._not_collected(request.test)
        else:
            # Which one is next is not known yet: fixtures of the session stay, no others.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=item.session)
            self._why = self._why or self._never_reached(request.label)
        self.answer(messages.Over(request.number, self._why))

    def _not_collected(self, test: str) -> str:
        module = test.partition("::")[0]
        if module in self._broken:
            return f"{module} could not be collected: {self._broken[module]}"
        return f"there is no {test}"

    def _never_reached(self, label: str) -> str:
        wanted = f"with label {label!r}" if label else "without a label"
        if not self._labels:
            return "the test never calls hiddencost"
        had = ", ".join(repr(found) for found in self._labels[:MOST_LABELS])
        return f"the test has no hiddencost call {wanted}; labels of its calls: {had}"

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember why a file has no tests."""
        if report.failed:
            self._broken[report.nodeid] = _last_line(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember why a test did not come to its call."""
        if self._reached or self._why or self._request is None:
            return
        if report.failed:
            self._why = f"the test failed in its {report.when}: {_last_line(report)}"
        elif report.skipped:
            self._why = f"the test was skipped: {_last_line(report)}"

    def pace(self, test: str, label: str) -> SharedPace | None:
        """Return the pace of one call of the fixture; None unless the run asks for this call."""
        self._labels.append(label)
        request = self._request
        if request is None or (test, label) != (request.test, request.label):
            return None
        self._reached = True
        return SharedPace(self, request)

    def ask(self) -> Message:
        """Return the next thing to do."""
        return self._channel.receive()

    def answer(self, message: Message) -> None:
        """Send what came of it."""
        self._channel.send(message)


SIDE = pytest.StashKey[WorkerSide]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the socket to the run that asks."""
    group = parser.getgroup("hiddencost")
    group.addoption(
        "--hiddencost-interleaved", dest="hiddencost_interleaved", type=int, default=None
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Connect."""
    descriptor = config.getoption("hiddencost_interleaved")
    if descriptor is not None:
        side = config.stash[SIDE] = WorkerSide(Channel(descriptor))
        config.pluginmanager.register(side)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests that are asked for, one at a time, until nobody asks any more."""
    side = session.config.stash.get(SIDE, None)
    if side is None:
        return None
    side.serve(session)
    gc.freeze()  # at its end pytest collects garbage ten times: a second for what torch left
    pytest.exit("nobody asks any more", returncode=NO_SUMMARY)


class SharedPace:
    """The pace of the call that is asked for: the run says when it is measured."""

    def __init__(self, side: WorkerSide, request: RunTest) -> None:
        self._side = side
        self._request = request

    def latency(self, sampler: LatencySampler) -> None:
        """Take blocks of timed calls, as they are asked for."""
        self._side.answer(_ready(self._request))
        with CorePin() as pin:
            while isinstance(message := self._side.ask(), messages.TakeTurn):
                pin.take(message.core)
                samples = sampler.turn(message.duration_ns, refill=message.refill)
                self._side.answer(messages.Times(samples))
        _expect(message, messages.PrepareWindows)

    def windows(self, windows: Windows) -> None:
        """Take profiler windows, as they are asked for."""
        windows.prepare()
        self._side.answer(messages.Prepared())
        while isinstance(message := self._side.ask(), messages.TakeWindow):
            self._side.answer(messages.WindowTimes(*windows.add()))
        _expect(message, messages.Finish)

    def done(self, profile: Profile) -> None:
        """Hand the profile over; skip the rest of the test, which is not needed."""
        self._side.answer(messages.Measured(profile))
        pytest.skip("measured for the run that asked")


def _ready(request: RunTest) -> messages.Ready:
    """What this process is, once the call is warm."""
    from pytest_hiddencost.measure import intra_op_threads, torch_version  # loaded by the call
    from pytest_hiddencost.system.affinity import usable_cores

    files: dict[str, str] = {}
    if request.tell_files:
        files = {name: str(path) for name, path in module_files().items()}
    threads = intra_op_threads()
    return messages.Ready(
        number=request.number,
        torch=torch_version(),
        room=2 * threads <= len(usable_cores()),
        core=current_core() if threads == 1 else None,
        files=files,
    )


def _expect(message: Message, kind: type[Message]) -> None:
    if isinstance(message, messages.Leave):
        pytest.skip("the other side has no such call")
    if not isinstance(message, kind):
        raise Closed(f"expected {kind.__name__}, was asked for {type(message).__name__}")


def _last_line(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return what pytest would show in its short summary."""
    told = report.longrepr
    if isinstance(told, tuple):  # of a skip: file, line, reason
        return str(told[2]).removeprefix("Skipped: ")
    crash = getattr(told, "reprcrash", None)
    if crash is not None:
        return str(crash.message).splitlines()[0]
    lines = [line.strip() for line in str(told).splitlines() if line.strip()]
    return lines[-1].removeprefix("E").strip() if lines else "no reason given"
