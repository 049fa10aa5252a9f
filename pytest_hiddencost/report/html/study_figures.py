"""The figures of the device study as plain data, which the study fills in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ModelValues = Mapping[str, Sequence[float | None]]
"""Values by name: one for each model, None where a model has none."""


@dataclass(frozen=True)
class BackendFigures:
    """The papers' figures on one convolution backend; shares 0 to 1, times in ms, GMAC/s."""

    backend: str
    models: tuple[str, ...]
    models_table: ModelValues  # accuracy, parameters, MACs and time, in the units of the names
    parts: ModelValues  # shares of the latency
    inside_conv2d: ModelValues  # shares of Conv2D
    rates: ModelValues  # GMAC/s of kernel time by kind


@dataclass(frozen=True)
class DevicePair:
    """The study's models on two devices, on one backend: times in ms, shares 0 to 1."""

    backend: str
    models: tuple[str, ...]
    head_ms: tuple[float, ...]
    base_ms: tuple[float, ...]
    head_non_mac: tuple[float, ...]
    base_non_mac: tuple[float, ...]
    head_in_conv2d: tuple[float, ...]
    base_in_conv2d: tuple[float, ...]
    correlations: tuple[float, float] | None  # of MACs and time, on head and on base


@dataclass(frozen=True)
class StudyFigures:
    """All figures of a study; ``correlations`` has the rows of a matrix over ``quantities``."""

    backends: tuple[BackendFigures, ...]
    quantities: tuple[str, ...] = ()
    correlations: tuple[tuple[float, ...], ...] = ()
    against: tuple[DevicePair, ...] = ()
    names: tuple[str, str] = ("", "")  # of head's and base's device
