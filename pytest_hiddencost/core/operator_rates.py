"""Frozen plain data: how fast single operators run in loops of their own, and the device's peaks.

Times are in ns of one repetition, rates in MAC/s and bytes/s.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OperatorWork:
    """The work of one operator on tensors of one shape.

    ``moved_bytes`` are those of its inputs, weights and outputs: it must move each of them once.
    """

    operator: str
    kind: str  # the MAC kind; of an operator without MACs its group, such as normalization
    shapes: str  # of its tensors
    macs: int
    moved_bytes: int


@dataclass(frozen=True)
class OperatorRate(OperatorWork):
    """The work of one operator, and its time and energy in a loop of its own."""

    repetition_ns: float  # the median over blocks of repetitions
    interval_ns: tuple[float, float] | None = None  # of the median; None for too few blocks
    calls: int = 1  # in one call of the model
    touched_bytes: int = 0  # by repetitions on other tensors in turn, if more than moved_bytes
    energy_nj: float | None = None  # None without an energy meter

    @property
    def total_ns(self) -> float:
        """The time of all its calls in one call of the model."""
        return self.calls * self.repetition_ns

    @property
    def mac_rate(self) -> float:
        """MACs per second."""
        return self.macs / self.repetition_ns * 1e9

    @property
    def byte_rate(self) -> float:
        """Moved bytes per second."""
        return self.moved_bytes / self.repetition_ns * 1e9

    @property
    def working_bytes(self) -> int:
        """The bytes that caches would have to hold between two uses of a tensor."""
        return max(self.moved_bytes, self.touched_bytes)

    @property
    def macs_per_byte(self) -> float:
        """The arithmetic intensity."""
        return self.macs / self.moved_bytes if self.moved_bytes else 0.0

    @property
    def energy_nj_per_mac(self) -> float | None:
        """Energy of one MAC; None if it is not known."""
        return self.energy_nj / self.macs if self.macs and self.energy_nj is not None else None


@dataclass(frozen=True)
class CopyRate:
    """The rate of a copy whose two buffers take so many bytes together."""

    copied_bytes: int  # read and written
    byte_rate: float


@dataclass(frozen=True)
class Peaks:
    """The rates that the device itself reaches: the roofs above all operators."""

    mac_rate: float  # of the fastest large matrix product
    copies: tuple[CopyRate, ...]  # smallest first; the last is larger than the caches
    call_ns: float  # of an operator on one element: a call alone

    @property
    def memory_byte_rate(self) -> float:
        """Bytes per second of a copy in memory."""
        return self.copies[-1].byte_rate

    @property
    def cache_byte_rate(self) -> float:
        """Bytes per second of the fastest copy."""
        return max(copy.byte_rate for copy in self.copies)

    def byte_rate(self, moved_bytes: int) -> float:
        """Return the rate at which the device copies so many bytes, or more if that is faster.

        A copy of few bytes is slow because a call takes time, which ``call_ns`` stands for.
        """
        as_large = [copy.byte_rate for copy in self.copies if copy.copied_bytes >= moved_bytes]
        return max(as_large, default=self.memory_byte_rate)


@dataclass(frozen=True)
class DeviceKinds:
    """The throughput of a device by operator kind, without a model.

    ``energy_note`` says why energies, or some of them, are not known.
    """

    peaks: Peaks
    operators: tuple[OperatorRate, ...]
    energy_note: str = ""
