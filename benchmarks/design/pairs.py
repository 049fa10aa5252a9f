"""Differences between two processes of the same code, for several ways to start and keep them.

Both sides of a pair run the same model and time single calls in turns, in either order. The figure
of a pair is the median log ratio over blocks of two turns. The spread between pairs beyond the
error within them is the limit of a comparison of head and base.

The processes are bare ones, so that a variant can leave out one thing that the plugin does.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean, median, stdev
from time import perf_counter_ns
from typing import NoReturn

import torch

from benchmarks.design.alternation import median_error, root_mean
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.load import loaded
from benchmarks.lib.log import Case, Figures, Line
from benchmarks.lib.models import ALL_MODELS, UNLIKE_MODELS, network
from benchmarks.lib.processes import command_of, environment
from benchmarks.lib.tables import NOTHING, Table, by, values
from pytest_hiddencost.system.priority import raise_priority
from pytest_hiddencost.workers.fork_server import random_layout
from pytest_hiddencost.workers.starting import ALIKE

WARM_UPS = 30
READY, TURN = b"r", b"t"
ANSWER = struct.Struct("qq")  # ns, page faults
PR_SET_PDEATHSIG = 1
THREADS = {"1": 1, "default": None}
CONDITIONS = QUIET, LOADED = "quiet", "loaded"
KEYS = ("model", "condition", "threads", "variant")
# Variables of the workers' environment that the parts of a variant leave out.
KEEPING = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")
HUGE = ("GLIBC_TUNABLES",)
PINNING = ("OMP_PROC_BIND", "OMP_PLACES")


@dataclass(frozen=True)
class Variant:
    """A way to start and keep the processes of a pair.

    ``fork``: from one process that has imported torch. ``keep_memory``: malloc keeps what is freed.
    ``huge_pages``: malloc asks for them. ``shift``: each process shifts its memory layout at
    random. ``pin``: threads stay on their cores, one thread of each side on the same core.
    ``stop``: the side that rests is stopped. ``raised``: sides have the highest priority.
    """

    name: str
    fork: bool = True
    keep_memory: bool = True
    huge_pages: bool = True
    shift: bool = True
    pin: bool = True
    stop: bool = True
    raised: bool = True


VARIANTS = (
    Variant("as the plugin does it"),
    Variant("malloc gives memory back", keep_memory=False),
    Variant("small pages", huge_pages=False),
    Variant("one memory layout", shift=False),
    Variant("not pinned", pin=False),
    Variant("the resting side is not stopped", stop=False),
    Variant("priority as usual", raised=False),
    Variant("fresh processes", fork=False),
)
BY_NAME = {variant.name: variant for variant in VARIANTS}


class Side:
    """One process of a pair, started by this one; it is stopped until its turn, if so asked."""

    def __init__(self, stack: ExitStack, model: str, variant: Variant) -> None:
        self._stops = variant.stop
        (asks, self._asked), (self._answer, answers) = os.pipe(), os.pipe()
        starting = _forked if variant.fork else _started_fresh
        self._pid = starting(stack, model, variant, asks, answers)
        for end in (asks, answers):
            os.close(end)
        for end in (self._asked, self._answer):
            stack.callback(os.close, end)

    def wait_until_ready(self) -> None:
        """Wait until the model is warm."""
        if os.read(self._answer, 1) != READY:
            raise SystemExit("a side of a pair ended before its first turn")
        if self._stops:
            os.kill(self._pid, signal.SIGSTOP)

    def turn(self) -> tuple[int, int]:
        """Return the time of one call in ns, and its page faults."""
        if self._stops:
            os.kill(self._pid, signal.SIGCONT)
        os.write(self._asked, TURN)
        duration_ns, faults = ANSWER.unpack(os.read(self._answer, ANSWER.size))
        if self._stops:
            os.kill(self._pid, signal.SIGSTOP)
        return duration_ns, faults


def _forked(stack: ExitStack, model: str, variant: Variant, asks: int, answers: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            take_turns(model, variant, asks, answers)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    stack.callback(os.waitpid, pid, 0)
    stack.callback(os.kill, pid, signal.SIGKILL)
    return pid


def _started_fresh(stack: ExitStack, model: str, variant: Variant, asks: int, answers: int) -> int:
    asked = {"model": model, "variant": asdict(variant), "asks": asks, "answers": answers}
    process = subprocess.Popen(command_of(fresh_side, asked), pass_fds=(asks, answers))
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process.pid


def fresh_side(model: str, variant: dict[str, object], asks: int, answers: int) -> NoReturn:
    """Be a side in a process of its own."""
    take_turns(model, BY_NAME[str(variant["name"])], asks, answers)


def take_turns(model: str, variant: Variant, asks: int, answers: int) -> NoReturn:
    """Be a side: answer each request with the time of one call, until the requests end."""
    if variant.raised:
        os.setsid()  # as workers do
        raise_priority()
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a stopped process would stay for ever
    layout = random_layout() if variant.shift else None  # noqa: F841  # kept while the turns last
    if variant.pin and torch.get_num_threads() == 1:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    module, image = network(model)
    with torch.inference_mode():
        for _ in range(WARM_UPS):
            module(image)
        os.write(answers, READY)
        while os.read(asks, 1) == TURN:
            module(image)  # does not count: it brings its data back into the caches
            faults, start = _page_faults(), perf_counter_ns()
            module(image)
            duration_ns = perf_counter_ns() - start
            os.write(answers, ANSWER.pack(duration_ns, _page_faults() - faults))
    os._exit(0)


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def pair(model: str, variant: str, seconds: float, swapped: bool) -> dict[str, float]:
    """Measure one pair; ``swapped``: the side that starts second counts as the first."""
    start = time.perf_counter()
    logs: list[float] = []
    faults: list[int] = []
    with ExitStack() as stack:
        sides = [Side(stack, model, BY_NAME[variant]) for _ in range(2)]
        for one in sides:
            one.wait_until_ready()
        if swapped:
            sides.reverse()
        end = time.perf_counter() + seconds
        while len(logs) < 2 or time.perf_counter() < end:
            block = []
            for first in random.sample((0, 1), 2):
                found = {number: sides[number].turn() for number in (first, 1 - first)}
                block.append(math.log(found[0][0] / found[1][0]))
                faults += [found[0][1], found[1][1]]
            logs.append(fmean(block))
    return {
        "ratio_log": median(logs),
        "error": median_error(logs),
        "blocks": len(logs),
        "seconds": time.perf_counter() - start,
        "faults": fmean(faults),
    }


def figures(case: Case, number: int, seconds: float) -> Figures:
    """Measure one pair, from a process of its own: it is the one that forks."""
    with loaded(int(case["condition"] == LOADED)):
        return _figures(case, number, seconds)


def _figures(case: Case, number: int, seconds: float) -> Figures:
    threads, variant = case["threads"], case["variant"]
    asked = {
        "model": case["model"],
        "variant": variant,
        "seconds": seconds,
        "swapped": bool(number % 2),
    }
    done = subprocess.run(
        command_of(pair, asked),
        env={**environment(THREADS[threads]), **_alike(BY_NAME[variant], threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def _alike(variant: Variant, threads: str) -> dict[str, str]:
    """Return the part of the workers' environment that a variant leaves."""
    left_out = [
        *([] if variant.keep_memory else KEEPING),
        *([] if variant.huge_pages else HUGE),
        *([] if variant.pin and threads != "1" else PINNING),
    ]
    return {name: value for name, value in ALIKE.items() if name not in left_out}


def run(measuring: Measuring) -> None:
    """Measure pairs of each model, with all variants in turns."""
    if not sys.platform.startswith("linux"):
        raise SystemExit("pairs needs Linux: it pins processes and sets malloc's thresholds")
    own = measuring.own
    cases = [
        {"model": model, "condition": condition, "threads": threads, "variant": variant}
        for model in measuring.models
        for condition in own["conditions"]
        for threads in own["threads"]
        for variant in own["variants"]
    ]
    measuring.repeat(cases, partial(figures, seconds=own["seconds"]))


def tables(lines: Sequence[Line]) -> Iterator[Table]:
    """Return the spread between pairs: by variant over all models, then by model and variant."""
    yield _over_models(lines)
    headers = [
        "model", "condition", "threads", "variant", "pairs", "sd between pairs",
        "error within a pair", "s a pair", "page faults a call",
    ]  # fmt: skip
    rows = [[*names, *_cells(of)] for names, of in by(lines, *KEYS).items()]
    note = "The error is that of the median over blocks, by bootstrap."
    yield Table("Pairs of the same code", headers, rows, lines, note, left=4)


def _over_models(lines: Sequence[Line]) -> Table:
    headers = [
        "condition", "threads", "variant", "models", "sd between pairs", "largest",
        "error within a pair", "s a pair",
    ]  # fmt: skip
    rows = []
    for names, of in by(lines, "condition", "threads", "variant").items():
        by_model = [values(some, "ratio_log") for some in by(of, "model").values()]
        spreads = [stdev(ratios) for ratios in by_model if len(ratios) > 1]
        if spreads:
            found = (root_mean(spreads), max(spreads), root_mean(values(of, "error")))
            shown = [f"{100 * share:.2f} %" for share in found]
            seconds = f"{median(values(of, 'seconds')):.1f}"
            rows.append([*names, str(len(spreads)), *shown, seconds])
    note = "The standard deviation is the root mean square of those of the models."
    return Table("Pairs of the same code, over all models", headers, rows, lines, note, left=3)


def _cells(lines: Sequence[Line]) -> list[str]:
    ratios = values(lines, "ratio_log")
    return [
        str(len(lines)),
        f"{100 * stdev(ratios):.2f} %" if len(ratios) > 1 else NOTHING,
        f"{100 * root_mean(values(lines, 'error')):.2f} %",
        f"{median(values(lines, 'seconds')):.1f}",
        f"{median(values(lines, 'faults')):.3g}",
    ]


NAMES = tuple(BY_NAME)
SHORT_NAMES = (VARIANTS[0].name, VARIANTS[-1].name)
MODELS = ("MobileNet", "README example", "UNet", "Encoder batch 1", "LSTM", "MLP")
BENCHMARK = Benchmark(
    run=run,
    tables=tables,
    processes=(8, 2),
    models=(MODELS, ("MLP",)),
    known_models=(*ALL_MODELS, *UNLIKE_MODELS),
    own=(
        Setting("threads", "threads of torch", tuple(THREADS), ("1",), tuple(THREADS)),
        Setting("conditions", "load of the machine", CONDITIONS, (QUIET,), CONDITIONS),
        Setting("variants", "ways to start and keep processes", NAMES, SHORT_NAMES, NAMES),
        Setting("seconds", "time of the turns of each pair in s", 2.0, 0.5, recorded=True),
    ),
)
