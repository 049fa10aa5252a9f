"""The settings of a run: the one place that reads pytest's configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.intervals import samples_needed
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.judge.baseline.comparison import could_fail
from pytest_hiddencost.options import OPTIONS, VERBOSITY
from pytest_hiddencost.run.fleet_settings import FleetSettings, fleet_settings, on_device
from pytest_hiddencost.run.model_settings import ModelSettings, model_settings
from pytest_hiddencost.run.option_values import OptionValue
from pytest_hiddencost.workers.invocation import Invocation, without_selection

if TYPE_CHECKING:
    import pytest

Interleave: TypeAlias = Literal["auto", "never", "always"]
"""Calls that are measured beside the accepted commit: those left open, none, or all."""
INTERLEAVE: tuple[Interleave, ...] = ("auto", "never", "always")
GitHub: TypeAlias = Literal["auto", "off", "on"]
"""Whether the run writes a job summary and annotations; auto: on GitHub Actions."""
GITHUB: tuple[GitHub, ...] = ("auto", "off", "on")


@dataclass(frozen=True)
class RelaunchOrder:
    """The order to a relaunch: the file for its profiles, and the regression to inject."""

    result: Path
    injection: str


WorkerOrder: TypeAlias = RelaunchOrder | Literal["interleaved"]
"""The measurement that another run asks of this process."""


@dataclass(frozen=True)
class RecordingSettings:
    """The baselines that this run records, the number of launches, and the reason.

    ``rename``: carry entries of renamed tests over.
    """

    accept: Literal["nothing", "new", "all"] = "nothing"
    reason: str = ""
    launches: int = 3
    rename: bool = False


@dataclass(frozen=True)
class StoreSettings:
    """The store that this run is added to; ``where`` says which setting named it."""

    url: str
    where: str
    host: bool = False


@dataclass(frozen=True)
class Settings:
    """The checked values of the command line and the ini file."""

    device: str | None = None
    threads: int | None = None
    sampling: Sampling = Sampling()  # noqa: RUF009  # frozen, so shared safely
    tolerance: float = 0.05
    baseline_dir: Path | None = None
    recording: RecordingSettings = RecordingSettings()
    selftest: bool = False
    interleave: Interleave = "auto"
    against: str | None = None
    against_option: str = ""
    carry: tuple[str, ...] = ()
    strict: bool = False
    kinds: bool = False
    disable: bool = False
    energy: bool = False
    json: Path | None = None
    json_option: str = ""
    report: Path | None = None
    report_option: str = ""
    metrics: Path | None = None
    metrics_option: str = ""
    markdown: Path | None = None
    markdown_option: str = ""
    codequality: Path | None = None
    codequality_option: str = ""
    github: GitHub = "auto"
    store: StoreSettings | None = None
    xdist_workers: int = 1
    verbosity: int = 0
    invocation: Invocation | None = None
    worker: WorkerOrder | None = None
    models: ModelSettings = ModelSettings()  # noqa: RUF009  # frozen, so shared safely
    fleet: FleetSettings | None = None

    @classmethod
    def from_config(cls, config: pytest.Config) -> Settings:
        """Read and check every option.

        Raises ``SettingError`` or ``UnitError`` that names the option or the ini value.
        """
        values = {option.name: OptionValue(config, option) for option in OPTIONS}
        sampling = _sampling(values)
        worker = _worker(config)
        silent = worker is not None or on_device(config)  # the run that asks writes the files
        folder = values["baseline-dir"]
        baseline_dir = folder.path(config) or config.rootpath / ".hiddencost"
        return cls(
            device=values["device"].text(),
            threads=values["threads"].count(None),
            sampling=sampling,
            tolerance=values["tolerance"].share(cls.tolerance),
            baseline_dir=None if folder.raw == "off" else baseline_dir,
            recording=RecordingSettings() if worker else _recording(values, sampling),
            selftest=bool(values["selftest"].raw),
            interleave=values["interleave"].choice(INTERLEAVE),
            against=None if worker else _against(values),
            against_option=values["against"].where,
            carry=() if worker else values["carry"].paths(config),
            strict=bool(values["strict"].raw),
            kinds=worker is None and bool(values["kinds"].raw),
            disable=bool(values["disable"].raw),
            energy=bool(values["energy"].raw),
            github="off" if silent else values["github"].choice(GITHUB),
            store=None if silent else _store(values, config),
            xdist_workers=int(_worker_input(config).get("workercount", 1)),
            verbosity=_verbosity(config),
            invocation=_invocation(config, sampling),
            worker=worker,
            models=model_settings(config, values, in_worker=worker is not None),
            fleet=None if silent else fleet_settings(values, config),
            **_files(values, config, silent=silent),
        )


OUTPUT_FILES = ("json", "report", "metrics", "markdown", "codequality")
"""The options that name a file which the run writes at its end."""


def _files(
    values: dict[str, OptionValue], config: pytest.Config, *, silent: bool
) -> dict[str, Any]:
    """Return the path of each file and the setting that names it, by the fields of Settings."""
    paths = {name: None if silent else values[name].path(config) for name in OUTPUT_FILES}
    return {**paths, **{f"{name}_option": values[name].where for name in OUTPUT_FILES}}


def _sampling(values: dict[str, OptionValue]) -> Sampling:
    """Return the sampling; refuse one whose samples could never decide a limit."""
    samples = values["min-samples"]
    sampling = Sampling(
        max_time_ns=values["max-time"].duration_ns(Sampling.max_time_ns),
        min_samples=samples.count(Sampling.min_samples),
        confidence=values["confidence"].confidence(Sampling.confidence),
    )
    needed = samples_needed(0.5, sampling.confidence)
    if sampling.min_samples < needed:
        where = (values["confidence"] if samples.raw is None else samples).where
        raise SettingError(
            f"{where}: at {sampling.confidence:.6g} confidence, fewer than {needed} samples decide "
            f"no limit on p50; give --hiddencost-min-samples={needed} or more, or a lower "
            "--hiddencost-confidence"
        )
    return sampling


def _worker_input(config: pytest.Config) -> dict[str, Any]:
    """Return the controller's data for this pytest-xdist worker; empty in other processes."""
    return getattr(config, "workerinput", {})


def _verbosity(config: pytest.Config) -> int:
    text = str(config.getini(VERBOSITY))
    if not re.fullmatch("auto|0|-?[1-9][0-9]*", text):
        raise SettingError(f"{VERBOSITY}={text!r} in the ini file: expected a whole number or auto")
    if config.getoption("verbose", None) is None:  # pytest 8.1 with -p no:terminal
        return 0
    return config.get_verbosity("hiddencost")


def _recording(values: dict[str, OptionValue], sampling: Sampling) -> RecordingSettings:
    """Return the settings of a recording; refuse options that contradict or decide nothing."""
    update, new, launches = values["update"], values["update-new"], values["launches"]
    if update.raw and new.raw:
        raise SettingError(
            f"{update.where} and {new.where}: the first rewrites entries, the second only adds; "
            "give one of them"
        )
    rename = values["rename"]
    if update.raw and rename.raw and rename.on_command_line:
        raise SettingError(
            f"{update.where} and {rename.where}: the first rewrites entries, the second keeps "
            "their times; give one of them"
        )
    reason = values["reason"]
    if reason.raw is not None and not (update.raw or new.raw):
        raise SettingError(
            f"{reason.where}: without an update there is no entry to keep it; add "
            "--hiddencost-update"
        )
    count = launches.count(RecordingSettings.launches)
    asked = launches.raw is not None or update.raw or new.raw  # or SciPy is imported for nothing
    if asked and not could_fail(count, sampling.confidence):
        needed = next(n for n in range(2, 1000) if could_fail(n, sampling.confidence))
        raise SettingError(
            f"{launches.where}: at {sampling.confidence:.6g} confidence a baseline of {count} "
            f"launch{'es' if count > 1 else ''} could never fail a test, since the spread between "
            f"launches would be too uncertain; give at least {needed}"
        )
    accept: Literal["nothing", "new", "all"] = (
        "all" if update.raw else "new" if new.raw else "nothing"
    )
    return RecordingSettings(
        accept, reason.text() or "", count, bool(rename.raw) and not update.raw
    )


def _against(values: dict[str, OptionValue]) -> str | None:
    """Return the base's name; refuse options that need a baseline, which is not read meanwhile."""
    against = values["against"]
    if against.raw is None and against.on_command_line:  # it would compare nothing, and pass
        raise SettingError(
            f"{against.where} names no revision; give one, such as main (is a variable empty?)"
        )
    if against.raw is None:
        return None
    for name in ("update", "update-new", "rename", "selftest"):
        if values[name].raw and (name != "rename" or values[name].on_command_line):
            raise SettingError(
                f"{against.where} and {values[name].where}: the first compares two revisions "
                "without baselines; give one of them"
            )
    return against.text()


def _store(values: dict[str, OptionValue], config: pytest.Config) -> StoreSettings | None:
    """Return the store; what looks like a URL is one, anything else is a folder."""
    store, host = values["store"], bool(values["store-host"].raw)
    if store.raw is None:
        return None
    text = str(store.raw)
    url = text if re.match(r"[a-z][a-z0-9+.-]*(://|::)", text) else str(store.path(config))
    return StoreSettings(url, store.where, host)


def _invocation(config: pytest.Config, sampling: Sampling) -> Invocation:
    """Return how the run was started; a pytest-xdist worker knows that from its controller."""
    given = _worker_input(config).get("hiddencost_started", {})
    arguments = given.get("arguments", config.invocation_params.args)
    selected = given.get("selected", config.option.file_or_dir)
    return Invocation(
        directory=Path(given.get("directory", config.invocation_params.dir)),
        root=config.rootpath,
        ini=config.inipath,
        arguments=without_selection([str(a) for a in arguments], [str(s) for s in selected]),
        max_time_ns=sampling.max_time_ns,
    )


def _worker(config: pytest.Config) -> WorkerOrder | None:
    """Return the order of another run; the plugins of a worker process add its options."""
    if config.getoption("hiddencost_interleaved", None) is not None:
        return "interleaved"
    path = config.getoption("hiddencost_relaunch", None)
    if path is None:
        return None
    return RelaunchOrder(Path(path), str(config.getoption("hiddencost_injection", "")))
