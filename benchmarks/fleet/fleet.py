"""A fleet of devices: its overhead, what killed devices cost, the load of a large one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.fleet.lost_devices import KINDS, killed_devices, wall_time
from benchmarks.fleet.many_devices import fleet_load
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.log import Line
from benchmarks.lib.tables import Table, part

PARTS = ("wall", "kills", "load")
SLEEP_S, KILL_SLEEP_S = 0.5, 0.1
KILL_TESTS = 8


def run(measuring: Measuring) -> None:
    """Measure the parts that were asked for."""
    own = measuring.own
    if "wall" in own["parts"]:
        case = {"part": "wall", "tests": own["tests"], "sleep_s": SLEEP_S}
        measuring.in_fresh_processes(wall_time, [case])
    if "kills" in own["parts"]:
        case = {"part": "kills", "runs": own["kills"], "tests": KILL_TESTS, "sleep_s": KILL_SLEEP_S}
        measuring.in_fresh_processes(killed_devices, [case])
    if "load" in own["parts"]:
        sizes = [int(size) for size in str(own["devices"]).split("+")]
        cases = [{"part": "load", "devices": n, "tasks": own["tasks"]} for n in sizes]
        measuring.in_fresh_processes(fleet_load, cases)


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the tables of all parts."""
    if found := part(lines, "wall"):
        yield _wall(found)
    if found := part(lines, "kills"):
        yield _kills(found)
    if found := part(lines, "load"):
        yield _load(found)


def _wall(lines: Sequence[Line]) -> Table:
    rows = [
        [
            str(line.case["tests"]),
            *(f"{line.figures[name]:.2f}" for name in ("local_s", "ideal_s", "wall_s")),
            f"{line.figures['overhead_ms']:.0f}",
            *(str(line.figures[name]) for name in ("lost", "twice")),
        ]
        for line in lines
    ]
    headers = ["tests", "local, s", "ideal, s", "wall, s", "overhead, ms", "lost", "twice"]
    devices = sum(KINDS.values())
    note = (
        f"Each test sleeps {SLEEP_S:g} s on one device of each of {len(KINDS)} kinds; {devices} "
        "devices in all. The ideal is that of the kind with fewest devices. The limit of the "
        "overhead is 150 ms."
    )
    return Table("Tests on a fleet", headers, rows, lines, note)


def _kills(lines: Sequence[Line]) -> Table:
    names = ("runs", "orders", "answered", "inconclusive", "lost", "twice")
    rows = [[str(line.figures[name]) for name in names] for line in lines]
    note = "A device is killed at any moment of each run; another one joins after it."
    return Table("Killed devices", list(names), rows, lines, note, left=0)


def _load(lines: Sequence[Line]) -> Table:
    digits = {
        "joined_s": 0,
        "tasks_per_s": 0,
        "scheduler_ms": 1,
        "scheduler_mb": 0,
        "scheduler_files": 0,
        "dispatcher_ms": 1,
        "dispatcher_mb": 0,
    }
    rows = [
        [
            str(line.case["devices"]),
            str(line.case["tasks"]),
            *(f"{line.figures[name]:.{count}f}" for name, count in digits.items()),
        ]
        for line in lines
    ]
    headers = [
        "devices", "tasks", "to join, s", "tasks/s", "scheduler: ms a task", "MB", "open files",
        "dispatcher: ms a task", "MB",
    ]  # fmt: skip
    note = (
        "Scheduler, dispatcher and all devices are three processes of one machine. A device "
        "answers a task at once. The ms are time of a processor, the MB are the most memory."
    )
    return Table("Load of a large fleet", headers, rows, lines, note)


BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(1, 1),
    own=(
        Setting("parts", "parts", PARTS, PARTS, known=PARTS),
        Setting("tests", "tests", 200, 6),
        Setting("kills", "runs in which a device is killed", 50, 2),
        Setting("devices", "simulated devices, several joined by +", "100+300+1000", "20"),
        Setting("tasks", "trivial tasks", 10_000, 200),
    ),
)
