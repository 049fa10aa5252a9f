"""The plugin that makes a pytest one side of a pair, loaded with ``-p`` by the run that asks.

It runs the tests that it is asked for, and measures when it is its turn.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

import pytest_hiddencost
from pytest_hiddencost.records import Profile
from pytest_hiddencost.regression.paired import channel
from pytest_hiddencost.regression.paired.channel import Channel, Closed, Message
from pytest_hiddencost.regression.paired.imports import module_files
from pytest_hiddencost.regression.paired.seat import Seat, current_core

if TYPE_CHECKING:
    from pytest_hiddencost.fixture import Turns
    from pytest_hiddencost.profiling.latency import LatencySampler
    from pytest_hiddencost.profiling.measure import Windows

MOST_LABELS = 5
# None of the exit codes after which pytest writes a summary: plugins import a lot for theirs.
NO_SUMMARY = 100


class PeerSide:
    """Answers the run that started this one; registered as a plugin to see how tests end."""

    def __init__(self, descriptor: int) -> None:
        self._channel = Channel(descriptor)
        self._request: Message = {}
        self._reached = False
        self._labels: list[str] = []
        self._why = ""
        self._broken: dict[str, str] = {}

    def serve(self, session: pytest.Session) -> None:
        """Run tests as they are asked for, until the other end is closed."""
        items = {item.nodeid: item for item in session.items}
        try:
            self.answer(
                channel.HELLO, protocol=channel.PROTOCOL, version=pytest_hiddencost.__version__
            )
            while True:
                request = self._channel.receive()
                if request["kind"] == channel.RUN:  # others were meant for a test that is over
                    self._serve_one(request, items.get(request["test"]))
        except Closed:
            return

    def _serve_one(self, request: Message, item: pytest.Item | None) -> None:
        self._request, self._reached, self._labels, self._why = request, False, [], ""
        if item is None:
            self._why = self._not_collected(request["test"])
        else:
            # Which one is next is not known yet: fixtures of the session stay, no others.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=item.session)
            self._why = self._why or self._never_reached()
        self.answer(channel.OVER, why=self._why)

    def _not_collected(self, test: str) -> str:
        module = test.partition("::")[0]
        if module in self._broken:
            return f"{module} could not be collected: {self._broken[module]}"
        return f"there is no {test}"

    def _never_reached(self) -> str:
        label = self._request["label"]
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
        if self._reached or self._why or not self._request:
            return
        if report.failed:
            self._why = f"the test failed in its {report.when}: {_last_line(report)}"
        elif report.skipped:
            self._why = f"the test was skipped: {_last_line(report)}"

    def turns(self, test: str, label: str) -> Turns | None:
        """The pace of one call of the fixture; None unless it is the one meant."""
        self._labels.append(label)
        if (test, label) != (self._request.get("test"), self._request.get("label")):
            return None
        self._reached = True
        return _Turns(self)

    def ready(self) -> None:
        """The call is warm: say so, and what this side is."""
        import torch  # imported by the call

        from pytest_hiddencost.profiling.load import usable_cores

        files: dict[str, str] = {}
        if self._request["tell_files"]:
            files = {name: str(path) for name, path in module_files().items()}
        threads = torch.get_num_threads()
        self.answer(
            channel.READY,
            files=files,
            torch=str(torch.__version__),
            room=2 * threads <= len(usable_cores()),
            core=current_core() if threads == 1 else None,
        )

    def ask(self) -> Message:
        """The next thing to do."""
        return self._channel.receive()

    def answer(self, kind: str, **content: object) -> None:
        """What came of it."""
        number = self._request.get("number")
        self._channel.send(kind, number=number, **content)


PEER = pytest.StashKey[PeerSide]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The socket to the run that asks."""
    group = parser.getgroup("hiddencost")
    group.addoption("--hiddencost-peer", dest="hiddencost_peer", type=int, default=None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Connect."""
    descriptor = config.getoption("hiddencost_peer")
    if descriptor is not None:
        side = config.stash[PEER] = PeerSide(descriptor)
        config.pluginmanager.register(side)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests that are asked for, one at a time, until nobody asks any more."""
    side = session.config.stash.get(PEER, None)
    if side is None:
        return None
    side.serve(session)
    gc.freeze()  # at its end pytest collects garbage ten times: a second for what torch left
    pytest.exit("nobody asks any more", returncode=NO_SUMMARY)


class _Turns:
    """The pace of the call that is meant."""

    def __init__(self, side: PeerSide) -> None:
        self._side = side

    def latency(self, sampler: LatencySampler) -> None:
        """Blocks of timed calls, as they are asked for."""
        self._side.ready()
        with Seat() as seat:
            while (message := self._side.ask())["kind"] == channel.TURN:
                seat.take(message["core"])
                samples = sampler.turn(message["duration_ns"], refill=message["refill"])
                self._side.answer(channel.TIMES, samples_ns=samples)
        self._expect(message, channel.WINDOWS)

    def windows(self, windows: Windows) -> None:
        """Profiler windows, as they are asked for."""
        windows.prepare()
        self._side.answer(channel.DONE)
        while (message := self._side.ask())["kind"] == channel.WINDOW:
            non_mac_ns, whole_ns = windows.add()
            self._side.answer(channel.TIMES, non_mac_ns=non_mac_ns, whole_ns=whole_ns)
        self._expect(message, channel.FINISH)

    def _expect(self, message: Message, kind: str) -> None:
        if message["kind"] == channel.LEAVE:
            pytest.skip("the other side has no such call")
        if message["kind"] != kind:
            raise Closed(f"expected {kind}, was asked for {message['kind']}")

    def done(self, profile: Profile) -> None:
        """Hand the profile over; the rest of the test is not needed."""
        self._side.answer(channel.PROFILE, profile=profile.to_dict())
        pytest.skip("measured beside the run that asked")


def _last_line(report: pytest.CollectReport | pytest.TestReport) -> str:
    """What pytest would show in its short summary."""
    told = report.longrepr
    if isinstance(told, tuple):  # of a skip: file, line, reason
        return str(told[2]).removeprefix("Skipped: ")
    crash = getattr(told, "reprcrash", None)
    if crash is not None:
        return str(crash.message).splitlines()[0]
    lines = [line.strip() for line in str(told).splitlines() if line.strip()]
    return lines[-1].removeprefix("E").strip() if lines else "no reason given"
