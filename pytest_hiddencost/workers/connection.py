"""The asking end of a worker process: questions to it, its answers, and how long it may take."""

from __future__ import annotations

from typing import TypeVar

from pytest_hiddencost.core.errors import InterleavingError, NotInBase, WorkerHangs
from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.interleaved.ratios import WindowTime
from pytest_hiddencost.workers import messages
from pytest_hiddencost.workers.channel import Channel, Closed, Silent
from pytest_hiddencost.workers.invocation import SLOWER
from pytest_hiddencost.workers.messages import Message, Times
from pytest_hiddencost.workers.starting import START_S

ANSWER_S = 60.0  # for fixtures, warm-up, structure, or a turn; beyond TIMES_MAX max-times

Answer = TypeVar("Answer", bound=Message)


class Connection:
    """The asking end of one worker: it asks one question at a time and takes the answer.

    ``core`` is the core for the call's first thread; None leaves that to the system. Every method
    raises ``InterleavingError`` if the worker ends, hangs, or answers something else.

    A worker hangs if it sends nothing for ``start_s`` at its start, ``ready_s`` until its call
    begins, or ``answer_s`` from then on. A long call adds ``SLOWER`` times the longest one so far.
    """

    def __init__(
        self,
        channel: Channel,
        name: str,
        answer_s: float = ANSWER_S,
        *,
        start_s: float = START_S,
        ready_s: float = ANSWER_S,
    ) -> None:
        self.name = name
        self.core: int | None = None
        self._channel = channel
        self._answer_s = answer_s
        self._start_s = start_s
        self._ready_s = ready_s
        self._longest_s = 0.0  # a call, as the worker says

    def greet(self) -> None:
        """Wait until the worker has started and collected its tests."""
        hello = self._expect(messages.Hello, self._start_s)
        if hello.protocol != messages.PROTOCOL:
            raise InterleavingError(
                f"{self.name} has pytest-hiddencost {hello.version}, whose messages differ from "
                "this version's; install the same version on both sides"
            )

    def run(self, test: str, label: str, *, whole: bool, injection: str = "") -> None:
        """Start the test, which then runs as far as its call with this label."""
        self._send(messages.RunTest(test, label, whole, injection))

    def ready(self) -> messages.Ready:
        """Wait until the call is warm. Raises ``NotInBase`` if the test never comes to the call."""
        found = self._receive(self._ready_s)
        if isinstance(found, messages.Over):
            raise NotInBase(f"{self.name}: {found.why}")
        self.rest()
        return self._checked(found, messages.Ready)

    def turn(self, duration_ns: int, *, refill: int) -> Times:
        """Return the times of ``refill`` calls, and of further ones for ``duration_ns``."""
        self._send(messages.TakeTurn(duration_ns, refill, self.core))
        found = self._expect(messages.Times)
        self.rest()
        return found

    def prepare(self) -> None:
        """Get ready for profiler windows."""
        self._send(messages.TakeStep("prepare"))
        self._expect(messages.Prepared)
        self.rest()

    def window(self) -> WindowTime:
        """Take one profiler window."""
        self._send(messages.TakeStep("window"))
        found = self._expect(messages.WindowTimes)
        self.rest()
        return WindowTime(found.non_mac_ns, found.whole_ns)

    def finish(self) -> None:
        """Let the worker assemble the profile."""
        self._send(messages.TakeStep("finish"))

    def profile(self) -> Profile:
        """Wait for the profile of the call and return it."""
        return self._expect(messages.Measured).profile

    def rest(self) -> None:
        """Let the worker do nothing until it is asked again."""

    def wake(self) -> None:
        """Let the worker go on."""

    def dismiss(self) -> None:
        """Close the connection, so that the worker ends by itself."""
        self._channel.close()
        self.wake()

    def kill(self) -> None:
        """End the worker now."""
        self.dismiss()

    def ended(self) -> InterleavingError:
        """Return the error that says that the worker is gone."""
        return InterleavingError(f"{self.name}: the connection is closed")

    def _expect(self, kind: type[Answer], patience_s: float | None = None) -> Answer:
        return self._checked(
            self._receive(self._answer_s if patience_s is None else patience_s), kind
        )

    def _checked(self, found: Message, kind: type[Answer]) -> Answer:
        if isinstance(found, kind):
            return found
        why = found.why if isinstance(found, messages.Over) else ""
        raise InterleavingError(f"{self.name}: {why or f'unexpected {type(found).__name__}'}")

    def _send(self, message: Message) -> None:
        self.wake()
        try:
            self._channel.send(message)
        except Closed as error:
            raise self.ended() from error

    def _receive(self, patience_s: float) -> Message:
        try:
            while True:
                if self._longest_s:
                    patience_s = max(patience_s, self._answer_s + SLOWER * self._longest_s)
                found = self._channel.receive(patience_s)
                if not isinstance(found, messages.Working):
                    return found
                self._longest_s = max(self._longest_s, found.longest_ns / 1e9)
        except Silent as error:
            self.kill()
            raise WorkerHangs(
                f"{self.name}: the worker process hangs: {error}; if it was at work, let it take "
                "longer with --hiddencost-max-time"
            ) from error
        except Closed as error:
            raise self.ended() from error
