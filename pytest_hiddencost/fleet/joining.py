"""A device of a fleet: a Dask worker with one thread, whose resource is the device's kind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pytest_hiddencost.core.errors import FleetError
from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.fleet.addresses import is_loopback
from pytest_hiddencost.fleet.device_info import ADVERTISED, DeviceInfo
from pytest_hiddencost.fleet.device_task import DeviceRoom
from pytest_hiddencost.fleet.unpacking import SourcesCache
from pytest_hiddencost.system.reaper import Reaper

AGAIN_S = 5.0  # until a device that lost its scheduler asks again
JOIN_S = 30.0
_LOCK = "device.lock"  # in the cache of a device
# Nothing of Dask's own may run beside a measurement.
QUIET = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.profile.interval": "1h",
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.gil.enabled": False,
}


@dataclass(frozen=True)
class Membership:
    """How a device joins: the scheduler, its name, its cache; ``security`` is Dask's."""

    address: str
    info: DeviceInfo
    name: str
    cache: Path
    security: Any = None


def stay_joined(member: Membership, tell: Callable[[str], None], *, once: bool = False) -> None:
    """Be a device of the fleet until interrupted; join again if the scheduler was lost.

    Raises ``FleetError``, also if another device uses the cache.
    """
    distributed = extra("distributed", "fleet", "hiddencost device")
    import dask

    logging.getLogger("distributed").setLevel(logging.ERROR)
    reaper = Reaper()
    try:
        with (
            _sole_user(member.cache),
            TemporaryDirectory(prefix="hiddencost-device-") as scratch,
            dask.config.set(QUIET),
        ):
            reaper.folder(Path(scratch))
            room = DeviceRoom(SourcesCache(member.cache), reaper, Path(scratch))
            asyncio.run(_joined(distributed, member, room, tell, once=once))
    finally:
        reaper.close()


@contextmanager
def _sole_user(cache: Path) -> Iterator[None]:
    """Hold the lock of a cache: devices that share one remove each other's trees.

    Raises ``FleetError``.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(cache / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise FleetError(
            f"{cache}: another device on this machine uses this cache; give --name or --cache, so "
            "that each device has its own"
        ) from error
    except (OSError, NotImplementedError) as error:  # the latter: older filelocks, without flock
        raise FleetError(f"{cache}: cannot be locked: {error}; give --cache") from error
    try:
        yield
    finally:
        lock.release()


async def _joined(
    distributed: Any,
    member: Membership,
    room: DeviceRoom,
    tell: Callable[[str], None],
    *,
    once: bool,
) -> None:
    while True:
        try:
            worker = await asyncio.wait_for(joined_worker(distributed, member, room), JOIN_S)
        except (OSError, TimeoutError, asyncio.TimeoutError, RuntimeError) as error:
            if once:
                why = str(error) or type(error).__name__
                raise FleetError(f"{member.address} did not answer: {why}") from error
            tell(f"{member.address} did not answer; asking again in {AGAIN_S:g} s")
        else:
            tell(f"{member.name} joined {member.address} as {member.info.kind}")
            try:
                await worker.finished()
            finally:
                with suppress(Exception):
                    await worker.close(timeout=1)
            tell(f"{member.name} lost {member.address}")
        if once:
            return
        await asyncio.sleep(AGAIN_S)


async def joined_worker(distributed: Any, member: Membership, room: DeviceRoom) -> Any:
    """Return the Dask worker of a device, once it has joined."""

    async def information(_: Any) -> dict[str, str]:
        return asdict(member.info)

    from pytest_hiddencost.fleet.device_plugin import DevicePlugin

    near: dict[str, Any] = {"host": "127.0.0.1"} if is_loopback(member.address) else {}
    return await distributed.Worker(
        member.address,
        nthreads=1,
        name=member.name,
        resources={member.info.kind: 1},
        startup_information={ADVERTISED: information},
        plugins=[DevicePlugin(room)],
        security=member.security,
        dashboard=False,
        local_directory=str(member.cache / "dask"),
        death_timeout=JOIN_S,
        memory_limit=0,
        **near,
    )
