"""A process that forks workers: it has imported their libraries, and waits for orders.

A fork is ready at once, where a fresh process imports for seconds. Forks of one process have the
same memory layout and the same hash seed, so that head and base differ in their code alone. So
both sides come from one process, which has imported the code of neither: two processes that had
imported one side each differ by percents, in all pairs alike.
"""

from __future__ import annotations

import os
import random
import select
import signal
from contextlib import suppress

from pytest_hiddencost.system.processes import descriptor_of
from pytest_hiddencost.workers.channel import Channel, Closed
from pytest_hiddencost.workers.messages import Ended, Fork, Forked, Message, Refused

REAP_S = 0.2  # where the system has no descriptors of processes
# Blocks of all sizes fill what the template has freed; the last one is longer than any hole there.
LAYOUT_BLOCKS = 32
BLOCK_SIZE_BITS = (10, 20)
LAST_BLOCK_BYTES = 4 << 20
LAYOUT_STEP_BYTES = 16  # so that what follows starts anywhere in a page, and in a huge page
LAYOUT_STEPS = 1 << 16


class ForkServer:
    """Forks on every order, until the channel closes; then it kills the forks that still run."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._forks: dict[int, int | None] = {}  # process to its descriptor, if the system has one

    def serve(self) -> tuple[Fork, list[int]] | None:
        """Return, in a fork, the order and the descriptors that came with it.

        In the server itself return None, once the channel is closed.
        """
        try:
            while True:
                order = self._next()
                descriptors = self._channel.descriptors()
                if self._is_fork(descriptors):
                    return order, descriptors
        except Closed:
            self._end_forks()
            return None

    def _next(self) -> Fork:
        """Return the next order; meanwhile report forks that have ended.

        Not by SIGCHLD, which comes also when a resting side stops and goes on: this process would
        wake up at each turn.
        """
        own = self._channel.fileno()
        while True:
            if not self._channel.waiting:
                known = [fork for fork in self._forks.values() if fork is not None]
                limit_s = None if len(known) == len(self._forks) else REAP_S
                ready, _, _ = select.select([own, *known], [], [], limit_s)
                if ready != [own]:
                    self._reap()
                if own not in ready:
                    continue
            message = self._channel.receive()
            if isinstance(message, Fork):
                return message

    def _is_fork(self, descriptors: list[int]) -> bool:
        """Fork; return whether this process is the fork."""
        try:
            pid = os.fork()
        except OSError as error:
            pid = -1
            self._say(Refused(str(error)))
        if pid == 0:
            self._settle(descriptors.pop(0))
            return True
        for descriptor in descriptors:
            os.close(descriptor)
        if pid > 0:
            self._forks[pid] = descriptor_of(pid)
            self._say(Forked(pid))
        return False

    def _settle(self, output: int) -> None:
        """Make this fork a process of its own, with its own output and memory layout."""
        os.setsid()
        self._channel.close()
        for descriptor in self._forks.values():
            if descriptor is not None:
                os.close(descriptor)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(output)
        # Head and base would each keep one layout in all pairs, and one of them may be slower.
        self.layout = random_layout()

    def _reap(self) -> None:
        for fork, descriptor in list(self._forks.items()):
            pid, status = os.waitpid(fork, os.WNOHANG)
            if pid:
                del self._forks[pid]
                if descriptor is not None:
                    os.close(descriptor)
                self._say(Ended(pid, os.waitstatus_to_exitcode(status)))

    def _end_forks(self) -> None:
        for pid in self._forks:
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

    def _say(self, message: Message) -> None:
        with suppress(Closed):  # the next order says so
            self._channel.send(message)


def random_layout() -> list[bytearray]:
    """Return blocks of memory that shift all later allocations, as long as they are kept."""
    sizes = [int(2 ** random.uniform(*BLOCK_SIZE_BITS)) for _ in range(LAYOUT_BLOCKS)]
    last = LAST_BLOCK_BYTES + LAYOUT_STEP_BYTES * random.randrange(LAYOUT_STEPS)
    return list(map(bytearray, [*sizes, last]))
