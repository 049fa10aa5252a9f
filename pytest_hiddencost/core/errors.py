"""The errors a user can meet; each names the wrong input, its place and the accepted values."""

from __future__ import annotations

from collections.abc import Sequence


class HiddenCostError(Exception):
    """The base of all errors: hiddencost cannot answer, because of the request or the device."""


class UnitError(HiddenCostError, ValueError):
    """A quantity without a unit, with the wrong unit, or out of range."""


class MarkerError(HiddenCostError, TypeError):
    """A ``latency_budget`` marker that cannot be understood."""


class MeasurementError(HiddenCostError, RuntimeError):
    """A call that cannot be measured as asked (device, running profiler, repeated label)."""


class FormatError(HiddenCostError, ValueError):
    """A run file or record that this version cannot read."""


class SettingError(HiddenCostError, ValueError):
    """An option or ini value that cannot be used."""


class BaselineError(HiddenCostError, RuntimeError):
    """Recorded baselines that cannot be read or written; they are left as they are."""


class InterleavingError(HiddenCostError, RuntimeError):
    """A base that cannot be measured beside head, or a worker process that does not answer."""


class WorkerHangs(InterleavingError):
    """A worker process that sends nothing for as long as it may take."""


class NotInBase(InterleavingError):
    """Base has no such test or call, or could not run it: there is nothing to compare."""


class LacksFiles(NotInBase):
    """Base could not run the call, likely since it lacks ``files`` that git does not have.

    ``pointers``: git-lfs has them, and left pointers in their place.
    """

    def __init__(self, why: str, files: Sequence[str], *, pointers: bool) -> None:
        super().__init__(why)
        self.files = tuple(files)
        self.pointers = pointers


class GitError(HiddenCostError, RuntimeError):
    """A repository that git cannot read, or a git that cannot be run."""


class StoreError(HiddenCostError, RuntimeError):
    """A store of runs that cannot be read or written, or a question that it cannot answer."""


class StoreBusyError(StoreError):
    """Merges removed files of a store again and again while they were read."""


class SuggestionError(HiddenCostError, RuntimeError):
    """A test file into which no marker can be written; it is left as it is."""


class FleetError(HiddenCostError, RuntimeError):
    """A fleet that cannot be reached or joined, or sources that cannot travel to its devices."""


class EnergyError(HiddenCostError, RuntimeError):
    """An energy meter that is missing, cannot be read or does not count; it has a remedy."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class HiddenCostWarning(UserWarning):
    """A remark on a measured call that a reader of its figures should know."""
