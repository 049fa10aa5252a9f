"""Tests on a fleet: the time of all, and what is left of them when devices are killed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from statistics import median

from benchmarks.fleet.local_fleet import LocalFleet, local_fleet, local_s, sleeping_test
from benchmarks.lib.log import Figures
from pytest_hiddencost.fleet.device_task import DONE
from pytest_hiddencost.fleet.dispatcher import Dispatcher
from pytest_hiddencost.fleet.members import connected, members

KINDS = {"board-a": 3, "board-b": 3, "board-c": 2}


def ran(fleet: LocalFleet, tests: int, sleep_s: float) -> tuple[float, Mapping[str, int]]:
    """Run tests on one device of each kind; return the wall time in s, and counts."""
    client = connected(fleet.address)
    dispatcher = Dispatcher(client, members(client), None)
    orders = [sleeping_test(f"t{i}", kind, sleep_s) for i in range(tests) for kind in fleet.kinds]
    counts: Counter[str] = Counter()
    start = time.monotonic()
    dispatcher.submit(orders)
    for order in orders:
        answer = dispatcher.answer((order.test, order.kind))
        reported = [report["test"] for report in answer.reports]
        counts["answered"] += answer.status == DONE
        counts["inconclusive"] += answer.status != DONE
        counts["lost"] += answer.status == DONE and reported != [order.test]
    wall_s = time.monotonic() - start
    counts["twice"] = len(dispatcher.unread())
    dispatcher.close()
    return wall_s, counts


def wall_time(tests: int, sleep_s: float) -> Figures:
    """Return the wall time of tests on three kinds, against the ideal and a local run."""
    alone_s = median(local_s(sleep_s) for _ in range(5))
    with local_fleet(KINDS) as fleet:
        ran(fleet, 2, 0.01)  # devices import what they need
        wall_s, counts = ran(fleet, tests, sleep_s)
    fewest = min(KINDS.values())
    ideal_s = alone_s * tests / fewest
    return {
        "local_s": alone_s,
        "wall_s": wall_s,
        "ideal_s": ideal_s,
        "overhead_ms": (wall_s - ideal_s) * fewest / tests * 1e3,
        **counts,
    }


def killed_devices(runs: int, tests: int, sleep_s: float, seed: int = 1) -> Figures:
    """Kill a device at any moment of each run; return what was lost in all of them."""
    chance = random.Random(seed)
    total: Counter[str] = Counter()
    with local_fleet(KINDS) as fleet:
        about_s, _ = ran(fleet, tests, sleep_s)
        for _ in range(runs):
            victim = chance.choice(sorted(fleet.devices))
            killed: list[str] = []
            timer = threading.Timer(
                chance.uniform(0.0, about_s), lambda v=victim, k=killed: k.append(fleet.kill(v))
            )
            timer.start()
            _, counts = ran(fleet, tests, sleep_s)
            timer.join()
            total.update(counts)
            fleet.start(killed[0])
            fleet.wait(sum(KINDS.values()))
    return {"runs": runs, "orders": runs * tests * len(KINDS), **total}
