"""The errors a user can meet; each names what, where and what is accepted."""

from __future__ import annotations


class HiddenCostError(Exception):
    """Something about the request or the device keeps hiddencost from answering."""


class UnitError(HiddenCostError, ValueError):
    """A quantity without a unit, with the wrong unit, or out of range."""


class MarkerError(HiddenCostError, TypeError):
    """A ``latency_budget`` marker that cannot be understood."""


class MeasurementError(HiddenCostError, RuntimeError):
    """A call that cannot be measured as asked (device, running profiler, repeated label)."""


class FormatError(HiddenCostError, ValueError):
    """A run file or record that is not what this version reads."""


class SettingError(HiddenCostError, ValueError):
    """An option or ini value that cannot be used."""


class BaselineError(HiddenCostError, RuntimeError):
    """Recorded baselines that cannot be read or written; they are left as they are."""


class InterleavingError(HiddenCostError, RuntimeError):
    """A revision that cannot be measured beside this one, or a worker process that does not answer."""


class GitError(HiddenCostError, RuntimeError):
    """What git says of a repository that it cannot read, or why it cannot be run."""


class HiddenCostWarning(UserWarning):
    """Something about a measured call that a reader of its figures should know."""
