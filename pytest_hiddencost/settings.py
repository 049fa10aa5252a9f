"""The settings of a run: the one place that reads pytest's configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_hiddencost import units
from pytest_hiddencost.errors import SettingError, UnitError
from pytest_hiddencost.intervals import samples_needed
from pytest_hiddencost.options import OPTIONS, VERBOSITY, Option, raw_value
from pytest_hiddencost.records import Sampling
from pytest_hiddencost.regression.compare import could_fail
from pytest_hiddencost.regression.replicas import Invocation, without_selection
from pytest_hiddencost.tolerances import MOST_GROWTH

if TYPE_CHECKING:
    import pytest

LONGEST_TIME_NS = 86_400_000_000_000
MOST_CONFIDENT = 0.999999


@dataclass(frozen=True)
class Replica:
    """This run is a fresh launch for another one: where to leave its profiles, what to plant."""

    result: Path
    plant: str


@dataclass(frozen=True)
class Settings:
    """What the command line and the ini file ask for, checked."""

    device: str | None = None
    threads: int | None = None
    sampling: Sampling = Sampling()  # noqa: RUF009  # frozen, so shared safely
    tolerance: float = 0.05
    baseline_dir: Path | None = None
    update: bool = False
    update_new: bool = False
    reason: str = ""
    launches: int = 3
    selftest: bool = False
    against: str | None = None
    against_option: str = ""
    peer: bool = False
    strict: bool = False
    disable: bool = False
    json: Path | None = None
    json_option: str = ""
    workers: int = 1
    verbosity: int = 0
    invocation: Invocation | None = None
    replica: Replica | None = None

    @classmethod
    def from_config(cls, config: pytest.Config) -> Settings:
        """Read and check every option; ``SettingError`` names the one that is wrong."""
        values = {option.name: _Value(config, option) for option in OPTIONS}
        sampling = Sampling(
            max_time_ns=values["max-time"].duration_ns(Sampling.max_time_ns),
            min_samples=values["min-samples"].count(Sampling.min_samples),
            confidence=values["confidence"].confidence(Sampling.confidence),
        )
        few = values["min-samples"] if values["min-samples"].is_set else values["confidence"]
        _refuse_hopeless(sampling, few.where)
        threads = values["threads"]
        replica = _replica(config)
        peer = config.getoption("hiddencost_peer", None) is not None
        recording = {} if replica or peer else _recording(values, sampling)
        against = None if replica or peer else _against(values)
        return cls(
            device=values["device"].text(),
            threads=threads.count(0) if threads.is_set else None,
            sampling=sampling,
            tolerance=values["tolerance"].share(cls.tolerance),
            baseline_dir=_baseline_dir(config, values["baseline-dir"]),
            **recording,
            selftest=bool(values["selftest"].raw),
            against=against,
            against_option=values["against"].where,
            peer=peer,
            strict=bool(values["strict"].raw),
            disable=bool(values["disable"].raw),
            json=values["json"].path(config),
            json_option=values["json"].where,
            workers=_workers(config),
            verbosity=_verbosity(config),
            invocation=_invocation(config, sampling),
            replica=replica,
        )

    @property
    def measures_only(self) -> bool:
        """Whether this run is there for another one, which judges what is measured."""
        return self.replica is not None or self.peer

    @property
    def updates(self) -> bool:
        """Whether this run records."""
        return self.update or self.update_new


def _refuse_hopeless(sampling: Sampling, where: str) -> None:
    """A number of samples that can never decide anything would make every limit a decoration."""
    needed = samples_needed(0.5, sampling.confidence)
    if sampling.min_samples < needed:
        raise SettingError(
            f"{where}: no limit on p50 could ever be decided at {sampling.confidence:.6g} "
            f"confidence with fewer than {needed} samples; give at least {needed}, or a lower "
            "--hiddencost-confidence"
        )


def _workers(config: pytest.Config) -> int:
    worker_input = getattr(config, "workerinput", None)
    return 1 if worker_input is None else int(worker_input["workercount"])


def _verbosity(config: pytest.Config) -> int:
    text = str(config.getini(VERBOSITY))
    try:
        known = text == "auto" or text == str(int(text))
    except ValueError:
        known = False
    if not known:
        raise SettingError(f"{VERBOSITY}={text!r} in the ini file: expected a whole number or auto")
    return config.get_verbosity("hiddencost")


def _recording(values: dict[str, _Value], sampling: Sampling) -> dict[str, Any]:
    """The settings of an update; refuses those that contradict each other or decide nothing."""
    update, new, launches = values["update"], values["update-new"], values["launches"]
    if update.raw and new.raw:
        raise SettingError(
            f"{update.where} and {new.where}: the first rewrites entries, the second only adds; "
            "give one of them"
        )
    reason = values["reason"]
    if reason.is_set and not (update.raw or new.raw):
        raise SettingError(f"{reason.where}: kept with an update only: add --hiddencost-update")
    count = launches.count(Settings.launches)
    asked = launches.is_set or update.raw or new.raw  # SciPy is not imported for nothing
    if asked and not could_fail(count, sampling.confidence):
        needed = next(n for n in range(2, 1000) if could_fail(n, sampling.confidence))
        raise SettingError(
            f"{launches.where}: at {sampling.confidence:.6g} confidence a baseline of {count} "
            f"launch{'es' if count > 1 else ''} could never fail a test: the spread between "
            f"launches would not be known well enough; give at least {needed}"
        )
    return {
        "update": bool(update.raw),
        "update_new": bool(new.raw),
        "reason": reason.text() or "",
        "launches": count,
    }


def _against(values: dict[str, _Value]) -> str | None:
    """What to compare with, side by side; baselines are left alone meanwhile."""
    against = values["against"]
    if not against.is_set:
        return None
    for name in ("update", "update-new", "selftest"):
        if values[name].raw:
            raise SettingError(
                f"{against.where} and {values[name].where}: the first compares two revisions side "
                "by side, without baselines; give one of them"
            )
    return against.text()


def _baseline_dir(config: pytest.Config, value: _Value) -> Path | None:
    """None where baselines are switched off."""
    if value.text() == "off":
        return None
    return value.path(config) or config.rootpath / ".hiddencost"


def _invocation(config: pytest.Config, sampling: Sampling) -> Invocation:
    """How this run was started, also in a worker: the controller passes it on."""
    worker_input = getattr(config, "workerinput", None) or {}
    arguments = worker_input.get("hiddencost_arguments", config.invocation_params.args)
    selected = worker_input.get("hiddencost_selected", config.option.file_or_dir)
    directory = worker_input.get("hiddencost_directory", config.invocation_params.dir)
    return Invocation(
        directory=Path(directory),
        root=config.rootpath,
        ini=config.inipath,
        arguments=without_selection([str(a) for a in arguments], [str(s) for s in selected]),
        max_time_ns=sampling.max_time_ns,
    )


def _replica(config: pytest.Config) -> Replica | None:
    path = config.getoption("hiddencost_replica", None)
    if path is None:
        return None
    return Replica(Path(path), str(config.getoption("hiddencost_plant", "")))


class _Value:
    """One option's raw value, and how to read it."""

    def __init__(self, config: pytest.Config, option: Option) -> None:
        self.raw = raw_value(config, option)
        on_command_line = config.getoption(option.ini) is not None
        self._on_command_line = on_command_line
        self.where = option.argument if on_command_line else f"{option.ini} in the ini file"

    @property
    def is_set(self) -> bool:
        return self.raw is not None and self.raw != ""

    def text(self) -> str | None:
        return str(self.raw) if self.is_set else None

    def path(self, config: pytest.Config) -> Path | None:
        """Relative to where pytest was started, or to where the ini file lies."""
        base = config.invocation_params.dir
        if not self._on_command_line:
            base = config.inipath.parent if config.inipath else config.rootpath
        return base / str(self.raw) if self.is_set else None

    def count(self, default: int) -> int:
        if not self.is_set:
            return default
        text = str(self.raw).strip()
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise SettingError(f"{self.where}: expected a whole number of at least 1, got {text!r}")
        return int(text)

    def duration_ns(self, default: int) -> int:
        if not self.is_set:
            return default
        try:
            duration_ns = units.parse(self.raw, ["duration"], self.where).value
        except UnitError as error:
            raise SettingError(str(error)) from error
        if not 0 < duration_ns <= LONGEST_TIME_NS:
            raise SettingError(
                f"{self.where}: expected a time above 0 and up to 86400 s, got {self.raw!r}"
            )
        return round(duration_ns)

    def confidence(self, default: float) -> float:
        if not self.is_set:
            return default
        text = str(self.raw).strip()
        try:
            share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            share = math.nan
        if not 0.5 <= share <= MOST_CONFIDENT:  # also false for NaN
            raise SettingError(
                f"{self.where}: expected a share from 50% to {MOST_CONFIDENT:.4%} such as 99% or "
                f"0.99, got {text!r}"
            )
        return share

    def share(self, default: float) -> float:
        if not self.is_set:
            return default
        try:
            return float(units.parse(self.raw, ["share"], self.where, max_share=MOST_GROWTH).value)
        except UnitError as error:
            raise SettingError(str(error)) from error
