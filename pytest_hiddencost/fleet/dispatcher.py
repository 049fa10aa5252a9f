"""Sends orders to the devices of a fleet and waits for the answers; nothing is lost or hangs.

Dask's scheduler chooses the device. At most one order for each device of a kind is in flight:
Dask counts the death of a device against every task that waits there, started or not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeAlias
from uuid import uuid4

from pytest_hiddencost.core.errors import FleetError
from pytest_hiddencost.fleet.device_task import (
    DONE,
    NO_SOURCES,
    TROUBLE,
    DeviceAnswer,
    Order,
    run_on_device,
)
from pytest_hiddencost.fleet.members import Member, members
from pytest_hiddencost.fleet.pushing import push, push_to_all
from pytest_hiddencost.fleet.sources import ProjectSources

MOVES = 2  # to other devices, after the first
PUSHES = 5  # of the sources, for one order, to devices that lack them
GRACE_S = 60.0  # beyond the time limit of a test, for its device to answer
ABSENT_S = 60.0  # without any device of a kind
LOOK_S = 2.0
LOST_SCHEDULER = "the scheduler was away for too long, and Dask closed the connection"
_CLOSE_S = 10.0
GATHER_S = 20.0
GATHERERS = 4  # answers that are fetched at once; Dask merges the requests beyond five

OrderKey: TypeAlias = tuple[str, str]
"""The test and the kind of an order."""


@dataclass
class _Sent:
    """One order on its way; ``starts`` names the devices that began it."""

    order: Order
    future: Any = None
    key: str = ""
    excluded: set[str] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)
    begun_s: float | None = None
    pushes: int = 0


class Dispatcher:
    """The run's side of a fleet, through Dask's ``client``."""

    absent_s = ABSENT_S
    grace_s = GRACE_S
    poll_s = 0.5

    def __init__(self, client: Any, devices: Sequence[Member], sources: ProjectSources | None):
        self._client = client
        self._sources = sources
        self._run = uuid4().hex[:8]
        self.topic = f"hiddencost-{self._run}"
        self._done: SimpleQueue[tuple[str, DeviceAnswer | None]] = SimpleQueue()
        self._gatherers = ThreadPoolExecutor(GATHERERS, "hiddencost-answers")
        self._started: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._waiting: dict[str, deque[_Sent]] = {}
        self._sent: dict[str, _Sent] = {}
        self._answers: dict[OrderKey, DeviceAnswer] = {}
        self._flying: Counter[str] = Counter()  # orders on their way, by kind
        self._note_devices(devices)
        self._looked_s = self._answered_s = monotonic()
        self._seen_s: dict[str, float] = {}
        self._number = 0
        self._refused_s: float | None = None  # when Dask began to refuse orders
        client.subscribe_topic(self.topic, self._note_start)

    def submit(self, orders: Sequence[Order]) -> None:
        """Queue these orders; one for each device of a kind is sent at once."""
        for order in orders:
            self._waiting.setdefault(order.kind, deque()).append(_Sent(order))
        now = monotonic()
        self._seen_s |= dict.fromkeys(self._waiting, now)
        if self._sources is not None:
            wanted = [d.address for d in self._devices if d.info.kind in self._waiting]
            push_to_all(self._client, self._sources, wanted)
        self._fill()

    def answer(self, key: OrderKey, tell: Callable[[str], None] = lambda _: None) -> DeviceAnswer:
        """Wait for the answer to one order; ``tell`` gets the progress."""
        while key not in self._answers:
            left = len(self._sent) + sum(map(len, self._waiting.values()))
            tell(f"waiting for {key[1]}: {left} left")
            self._step(self.poll_s)
        return self._answers.pop(key)

    def unread(self) -> list[OrderKey]:
        """Return the orders whose answers nobody has taken."""
        return list(self._answers)

    def close(self) -> None:
        """Cancel what is not answered: devices end the processes of cancelled tests."""
        futures = [sent.future for sent in self._sent.values()]
        self._waiting.clear()
        self._sent.clear()
        self._flying.clear()
        self._gatherers.shutdown(wait=False, cancel_futures=True)
        with suppress(Exception):  # the scheduler may be gone
            if futures:
                self._client.cancel(futures, force=True)
        with suppress(Exception):
            self._client.close(timeout=_CLOSE_S)

    def _note_devices(self, devices: Sequence[Member]) -> None:
        self._devices = list(devices)
        self._present = Counter(device.info.kind for device in devices)

    def _note_start(self, event: tuple[float, Any]) -> None:
        self._started.put((str(event[1]["key"]), str(event[1]["device"])))

    def _step(self, wait_s: float) -> None:
        with suppress(Empty):
            key, answer = self._done.get(timeout=wait_s)
            self._note_starts()
            if (sent := self._landed(key)) is not None:
                self._take(sent, answer)
        self._note_starts()
        if monotonic() - self._looked_s >= LOOK_S:
            self._look()
        self._fill()

    def _note_starts(self) -> None:
        with suppress(Empty):
            while True:
                key, device = self._started.get_nowait()
                if (sent := self._sent.get(key)) is not None:
                    sent.begun_s = monotonic()
                    sent.starts.append(device)

    def _take(self, sent: _Sent, answer: DeviceAnswer | None) -> None:
        """Take in the end of one order: an answer, or the error by which Dask ended it."""
        last = sent.starts[-1] if sent.starts else "the fleet"
        if answer is not None:
            self._take_answer(sent, answer, answer.device or last)
            return
        status = sent.future.status
        error = sent.future.exception(timeout=_CLOSE_S) if status == "error" else None
        if type(error).__name__ == "KilledWorker":
            self._give_up(sent, _lost(sent.starts))
        else:
            self._again(sent, "", f"{last}: {error or status!r:.200}")

    def _take_answer(self, sent: _Sent, answer: DeviceAnswer, name: str) -> None:
        if answer.status == DONE:
            self._answers[sent.order.test, sent.order.kind] = answer
            return
        why = answer.reason or "it does not keep the sources"
        if answer.status == NO_SOURCES and sent.pushes < PUSHES:
            assert self._sources is not None
            sent.pushes += 1
            sent.starts = [other for other in sent.starts if other != name]
            why = push(self._client, self._sources, [answer.address])
        if why:
            self._again(sent, answer.address, f"{name}: {why}")
        else:
            self._waiting[sent.order.kind].appendleft(sent)

    def _gather(self, key: str, future: Any) -> None:
        """Fetch an answer, which lies on its device; Dask runs the order again if that is gone.

        It runs in a thread, so that a device that hangs delays no other answer.
        """
        answer: DeviceAnswer | None = None
        if future.status == "finished":
            try:
                answer = future.result(timeout=GATHER_S)
            except Exception as error:  # whatever happened to the device
                with suppress(Exception):
                    self._client.cancel([future], force=True)
                why = f"its answer was lost: {type(error).__name__}"
                answer = DeviceAnswer(TROUBLE, reason=why)
        self._done.put((key, answer))

    def _again(self, sent: _Sent, address: str, why: str) -> None:
        """Send an order to another device, at most ``MOVES`` times in all."""
        sent.troubles.append(why)
        sent.excluded.add(address)
        if max(len(sent.troubles), len(sent.starts)) > MOVES:
            self._give_up(sent, "; ".join(dict.fromkeys(sent.troubles)))
        else:
            self._waiting[sent.order.kind].appendleft(sent)

    def _give_up(self, sent: _Sent, why: str) -> None:
        key = sent.order.test, sent.order.kind
        self._answers[key] = DeviceAnswer(TROUBLE, reason=why)

    def _look(self) -> None:
        """Look at the fleet: devices that came or went, orders without an answer in time."""
        now = self._looked_s = monotonic()
        try:
            self._note_devices(members(self._client))
            self._answered_s = now
        except FleetError as error:
            if self._closed or now - self._answered_s > self.absent_s:
                self._end_all(LOST_SCHEDULER if self._closed else str(error))
            return
        self._seen_s |= dict.fromkeys(self._present, now)
        for kind in self._waiting:
            absent_s = now - self._seen_s.get(kind, now)
            if kind not in self._present and absent_s > self.absent_s:
                self._end_all(f"no device of {kind} for {absent_s:.0f} s", kind)
        for sent in list(self._sent.values()):
            self._check_started(sent, now)

    def _check_started(self, sent: _Sent, now: float) -> None:
        if len(sent.starts) > MOVES + 1:
            self._withdraw(sent)
            self._give_up(sent, _lost(sent.starts[:-1]))
            return
        limit_s = sent.order.limit_s + self.grace_s
        if sent.begun_s is not None and now - sent.begun_s > limit_s:
            self._withdraw(sent)
            name = sent.starts[-1]
            address = next((d.address for d in self._devices if d.name == name), "")
            self._again(sent, address, f"{name}: no answer in {limit_s:.0f} s")
        elif sent.begun_s is None and sent.excluded and not self._others(sent):
            self._withdraw(sent)
            self._waiting[sent.order.kind].appendleft(sent)

    def _landed(self, key: str) -> _Sent | None:
        """Return the order that was sent under a key; it is on its way no longer."""
        sent = self._sent.pop(key, None)
        if sent is not None:
            self._flying[sent.order.kind] -= 1
        return sent

    def _withdraw(self, sent: _Sent) -> None:
        self._landed(sent.key)
        with suppress(Exception):
            self._client.cancel([sent.future], force=True)

    def _end_all(self, why: str, kind: str = "") -> None:
        for sent in [s for s in self._sent.values() if kind in ("", s.order.kind)]:
            self._withdraw(sent)
            self._give_up(sent, why)
        for name, waiting in self._waiting.items():
            while waiting and kind in ("", name):
                self._give_up(waiting.popleft(), why)

    def _others(self, sent: _Sent) -> list[str]:
        return [
            device.address
            for device in self._devices
            if device.info.kind == sent.order.kind and device.address not in sent.excluded
        ]

    def _fill(self) -> None:
        for kind, waiting in self._waiting.items():
            while waiting and self._flying[kind] < self._present[kind]:
                if why := self._send(waiting[0]):
                    self._note_refusal(why)
                    return
                waiting.popleft()
                self._refused_s = None

    def _note_refusal(self, why: str) -> None:
        """End all orders if Dask's client takes none any more; else they wait for the next step."""
        now = monotonic()
        if self._refused_s is None:
            self._refused_s = now
        if self._closed:
            self._end_all(LOST_SCHEDULER)
        elif now - self._refused_s > self.absent_s:
            self._end_all(f"the scheduler takes no tests: {why}")

    @property
    def _closed(self) -> bool:
        """Whether Dask has closed the client, which lost its scheduler for too long."""
        return str(self._client.status) == "closed"

    def _send(self, sent: _Sent) -> str:
        """Submit an order to Dask; return why it was refused, or nothing.

        Its key is new each time: an answer to an old key is never read.
        """
        self._number += 1
        sent.key = f"hiddencost-{self._run}-{self._number}-{sent.order.test}"
        sent.begun_s = None
        others = self._others(sent) if sent.excluded else []
        where: dict[str, Any] = {"workers": others} if others else {}
        try:
            sent.future = self._client.submit(
                run_on_device,
                replace(sent.order, topic=self.topic),
                key=sent.key,
                pure=False,
                resources={sent.order.kind: 1},
                **where,
            )
        except Exception as error:  # Dask's client and its transports each raise their own
            return f"{error!r:.200}"
        self._sent[sent.key] = sent
        self._flying[sent.order.kind] += 1
        sent.future.add_done_callback(partial(self._ended, sent.key))
        return ""

    def _ended(self, key: str, future: Any) -> None:
        with suppress(RuntimeError):  # the run has ended
            self._gatherers.submit(self._gather, key, future)


def _lost(names: Sequence[str]) -> str:
    return f"the devices that ran it were lost: {', '.join(names) or 'no name is known'}"
