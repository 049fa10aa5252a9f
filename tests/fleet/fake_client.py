"""Dask's client without Dask: a test says which device answers, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from pytest_hiddencost import __version__
from pytest_hiddencost.fleet.device_info import DeviceInfo
from pytest_hiddencost.fleet.device_task import DONE, DeviceAnswer, Order
from pytest_hiddencost.fleet.members import Member


class KilledWorker(Exception):
    """As Dask names it."""


class FakeFuture:
    """An order on its way."""

    def __init__(self, order: Order, key: str, where: list[str] | None) -> None:
        self.order, self.key, self.where = order, key, where
        self.status = "pending"
        self._result: Any = None
        self._callbacks: list[Callable[[Any], None]] = []

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        self._callbacks.append(function)

    def end(self, status: str, result: Any = None) -> None:
        self.status, self._result = status, result
        for function in self._callbacks:
            function(self)

    def result(self, timeout: float) -> Any:
        if self._result is None:
            raise TimeoutError
        return self._result

    def exception(self, timeout: float) -> Any:
        return self._result


class FakeClient:
    """Devices by name; futures in the order of their submission."""

    def __init__(self, *devices: Member) -> None:
        self.devices = list(devices)
        self.futures: list[FakeFuture] = []
        self.cancelled: list[FakeFuture] = []
        self.pushed: list[list[str]] = []
        self.refusals: dict[str, str | Exception] = {}
        self.start: Callable[[Any], None] = lambda event: None
        self.topic = ""
        self.scheduler = SimpleNamespace(identity="identity", processing="processing")
        self.broken = False
        self.status = "running"
        self.refusal: Exception | None = None  # of every order
        self.on_submit: Callable[[FakeFuture], None] = lambda future: None

    def subscribe_topic(self, topic: str, handler: Callable[[Any], None]) -> None:
        self.topic, self.start = topic, handler

    def began(self, future: FakeFuture, device: str) -> None:
        if future.order.topic == self.topic:
            self.start((0.0, {"key": future.key, "device": device}))

    def sync(self, function: str, callback_timeout: float) -> Any:
        if self.broken:
            raise TimeoutError
        return {
            "workers": {
                d.address: {"name": d.name, "metrics": {}, "hiddencost": asdict(d.info)}
                for d in self.devices
            }
        }

    def submit(self, function: object, order: Order, **how: Any) -> FakeFuture:
        if self.refusal is not None:
            raise self.refusal
        assert how["resources"] == {order.kind: 1}
        future = FakeFuture(order, how["key"], how.get("workers"))
        self.futures.append(future)
        self.on_submit(future)
        return future

    def run(
        self, function: object, name: str, data: bytes, workers: list[str], on_error: str
    ) -> dict[str, str | Exception]:
        assert on_error == "return"
        self.pushed.append(workers)
        return {each: self.refusals.get(each, "") for each in workers}

    def cancel(self, futures: list[FakeFuture], force: bool) -> None:
        self.cancelled += futures

    def close(self, timeout: float) -> None:
        pass


def member(name: str, kind: str = "board", plugin: str = __version__) -> Member:
    return Member(f"tcp://{name}", name, DeviceInfo(kind, kind, "2.13.0", plugin, "3.11"))


def done(order: Order, device: str = "d1") -> DeviceAnswer:
    return DeviceAnswer(DONE, device, f"tcp://{device}", reports=({"test": order.test},))
