"""Dask's handle on the things that tests on a device need; imports ``distributed``."""

from __future__ import annotations

from distributed import WorkerPlugin

from pytest_hiddencost.fleet.device_task import DeviceRoom


class DevicePlugin(WorkerPlugin):
    """Keeps the room of a device in its Dask worker, as ``worker.plugins["hiddencost"]``."""

    name = "hiddencost"

    def __init__(self, room: DeviceRoom) -> None:
        self.room = room
