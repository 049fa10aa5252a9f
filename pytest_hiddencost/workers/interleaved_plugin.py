"""The plugin that makes a pytest one side of a pair; the run that asks loads it with ``-p``.

It runs the test that the run asks for, and measures when the run says so.

PYTEST_DONT_REWRITE: a template has imported this module before its forks start pytest.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NoReturn

import pytest

import pytest_hiddencost
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.system.affinity import CorePin, current_core, usable_cores
from pytest_hiddencost.system.priority import raise_priority
from pytest_hiddencost.system.processes import usage
from pytest_hiddencost.workers import messages
from pytest_hiddencost.workers.channel import Channel, Closed
from pytest_hiddencost.workers.imported_code import ModelCode, module_files
from pytest_hiddencost.workers.messages import Message, RunTest
from pytest_hiddencost.workers.node_ids import test_id

if TYPE_CHECKING:
    from pytest_hiddencost.measure.latency.sampler import LatencySampler
    from pytest_hiddencost.measure.operators.window_pass import Windows
    from pytest_hiddencost.measure.outlook import CallProgress

MOST_LABELS = 5
NO_SUMMARY = 100  # an exit code without a summary, for which plugins would import a lot


class WorkerSide:
    """Answers the run that started this process; also a pytest plugin, to see how tests end."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._request: RunTest | None = None
        self._labels: list[str] = []
        self._why = ""
        self._broken: dict[str, str] = {}
        self._done = False
        self._code = ModelCode()

    def serve(self, session: pytest.Session) -> None:
        """Run the test that the run asks for; wait until it closes the connection."""
        items = {test_id(item): item for item in session.items}
        try:
            self._channel.send(messages.Hello(messages.PROTOCOL, pytest_hiddencost.__version__))
            request = self._channel.receive()
            if isinstance(request, RunTest):
                self._serve_one(request, items.get(request.test))
                self._channel.receive()
        except Closed:
            return

    def _serve_one(self, request: RunTest, item: pytest.Item | None) -> None:
        self._request = request
        if item is None:
            self._why = self._not_collected(request.test)
        else:
            self._code = getattr(item, "model_code", self._code)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        why = self._why or self._never_reached(request.label)
        self._channel.send(messages.Over(why))

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
        """Remember why a file could not be collected."""
        if report.failed:
            self._broken[report.nodeid] = _last_line(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember why a test ended before its call was measured."""
        if report.failed:
            self._why = self._why or f"the test failed in its {report.when}: {_last_line(report)}"
        elif report.skipped:
            self._why = self._why or f"the test was skipped: {_last_line(report)}"

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self) -> bool:
        """Set no timer of pytest-timeout: the run that asks limits the time of this process."""
        return True

    def pace(self, test: str, label: str) -> SharedPace | None:
        """Return the pace of a call; None unless the run asks for this call."""
        if self._done:  # the test caught the exception that ended it
            self.end_test()
        self._labels.append(label)
        request = self._request
        if request is None or (test, label) != (request.test, request.label):
            return None
        return SharedPace(self._channel, request, self.end_test, self._code)

    def end_test(self) -> NoReturn:
        """Skip the rest of the test, which nobody needs."""
        self._done = True
        pytest.skip("measured for the run that asked")


SIDE = pytest.StashKey[WorkerSide]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the option with the descriptor of the socket to the run that asks."""
    parser.getgroup("hiddencost").addoption("--hiddencost-interleaved", type=int)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Raise this process's priority: a thread that waits for a core makes all others wait."""
    if early_config.known_args_namespace.hiddencost_interleaved is not None:
        raise_priority()  # before code of the user may start threads


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Connect to the run that asks."""
    descriptor = config.getoption("hiddencost_interleaved")
    if descriptor is not None:
        side = config.stash[SIDE] = WorkerSide(Channel(descriptor))
        config.pluginmanager.register(side)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the test that the run asks for."""
    side = session.config.stash.get(SIDE, None)
    if side is None:
        return None
    side.serve(session)
    gc.freeze()  # at its end pytest collects garbage ten times: a second for what torch left
    pytest.exit("nobody asks any more", returncode=NO_SUMMARY)


class SharedPace:
    """The pace of the call that the run asks for: the run says when it is measured.

    ``whole``: the run wants a profile; otherwise it only times the call. ``code``: that of a named
    model.
    """

    def __init__(
        self,
        channel: Channel,
        request: RunTest,
        end_test: Callable[[], NoReturn],
        code: ModelCode = ModelCode(),  # noqa: B008  # frozen, so shared safely
    ) -> None:
        self._code = code
        self._channel = channel
        self._end_test = end_test
        self._request = request
        self._core: int | None = None
        self.whole = request.whole
        self.injection = request.injection

    def tell(self, progress: CallProgress) -> None:
        """Tell the run that the call is at work, so that it waits as long as calls take."""
        if progress.lengthy or progress.number == 1:
            self._channel.send(messages.Working(progress.longest_ns))

    def latency(self, sampler: LatencySampler) -> None:
        """Take turns of timed calls when the run says so."""
        self._channel.send(_with_code(_ready(self._request), self._code))
        with CorePin() as pin:
            while isinstance(message := self._channel.receive(), messages.TakeTurn):
                self._core = message.core
                pin.take(self._core)
                faults, preempted = usage()
                samples = sampler.turn(message.duration_ns, refill=message.refill)
                more = usage()
                times = messages.Times(samples, more[0] - faults, more[1] - preempted)
                self._channel.send(times)
        _expect(message, "prepare")

    def windows(self, windows: Windows) -> None:
        """Take profiler windows when the run says so."""
        with CorePin() as pin:  # or the first of several threads may share the core of another
            pin.take(self._core)
            windows.prepare()
            self._channel.send(messages.Prepared())
            while (message := self._channel.receive()) == messages.TakeStep("window"):
                self._channel.send(messages.WindowTimes(*windows.add()))
        _expect(message, "finish")

    def done(self, profile: Profile) -> None:
        """Hand the profile over; skip the rest of the test, which nobody needs."""
        self._channel.send(messages.Measured(profile))
        self._end_test()


def _with_code(ready: messages.Ready, code: ModelCode) -> messages.Ready:
    """Return the message with the code of a named model, if the test is of one."""
    return replace(ready, files={**ready.files, **code.files}, code=code.name)


def _ready(request: RunTest) -> messages.Ready:
    from pytest_hiddencost.measure import intra_op_threads, torch_version  # loaded by the call

    files = module_files() if request.whole else {}
    threads, cores = intra_op_threads(), usable_cores()
    return messages.Ready(
        torch=torch_version(),
        room=2 * threads <= len(cores),
        oversubscribed=threads > len(cores),
        # OpenMP has bound all threads but the first, to the cores after the first one.
        core=current_core() if threads == 1 else min(cores),
        files={name: str(path) for name, path in files.items()},
    )


def _expect(message: Message, step: Literal["prepare", "finish"]) -> None:
    if message != messages.TakeStep(step):
        raise Closed(f"expected the step {step}, was asked for {message}")


def _last_line(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return the reason that pytest would show in its short summary."""
    shown = report.longrepr
    if isinstance(shown, tuple):  # of a skip: file, line, reason
        return str(shown[2]).removeprefix("Skipped: ")
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        return str(crash.message).splitlines()[0].removeprefix("Failed: ")
    lines = [line.strip() for line in str(shown).splitlines() if line.strip()]
    return lines[-1].removeprefix("E").strip() if lines else "no reason given"
