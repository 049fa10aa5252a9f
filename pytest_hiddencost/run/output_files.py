"""The files that a run writes at its end: checked before any test runs, named in the summary."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_hiddencost.core.errors import HiddenCostError, SettingError, StoreError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.core.timestamps import utc_now
from pytest_hiddencost.report import run_file
from pytest_hiddencost.report.html import require_report
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import OUTPUT_FILES, Settings
from pytest_hiddencost.run.storing import add_to_store, check_store
from pytest_hiddencost.system.git import commit_line
from pytest_hiddencost.system.replacing import replacing, resolved

if TYPE_CHECKING:
    from pytest_hiddencost.run.ci_output import Review


@dataclass(frozen=True)
class Written:
    """Lines that name the files, errors, which fail the run, and warnings.

    ``commands`` are for GitHub Actions, which reads them from the terminal.
    """

    lines: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputFile:
    """A file that a setting asks for; ``where`` names the setting that gave the path."""

    name: str
    path: Path
    where: str


@dataclass(frozen=True)
class _EndedRun:
    """A run at its end, as its files show it; ``root`` is the rootdir."""

    settings: Settings
    results: Results
    root: Path

    @property
    def device(self) -> Device:
        """The device that was measured, or the one that would have been."""
        return self.results.device or default_device(self.settings)

    @cached_property
    def review(self) -> Review:
        """The run for its reviewers, made once for all of its outputs."""
        from pytest_hiddencost.run.ci_output import review_of  # few runs have reviewers

        return review_of(self.settings, self.results, self.root)


def output_files(settings: Settings) -> list[OutputFile]:
    """Return the files that the settings ask for."""
    asked = {name: getattr(settings, name) for name in OUTPUT_FILES}
    return [
        OutputFile(name, path, getattr(settings, f"{name}_option"))
        for name, path in asked.items()
        if path is not None
    ]


def check_output_files(settings: Settings) -> None:
    """Check that every file can be written at the end of the run, and has a path of its own.

    Raises ``SettingError``, and ``ExtraError`` if a file needs a library that is not installed.
    """
    check_store(settings)
    if settings.report is not None:
        require_report(settings.report_option)
    by_path: dict[Path, OutputFile] = {}
    for file in output_files(settings):
        run_file.check_writable(file.path, file.where)
        first = by_path.setdefault(resolved(file.path), file)
        if first is not file:
            raise SettingError(
                f"{first.where} and {file.where} name the same file, {file.path}; choose another "
                "path for one of them"
            )


def write_output_files(settings: Settings, results: Results, root: Path) -> Written:
    """Write every file, what GitHub shows, and the run in the store, even if some fail."""
    run = _EndedRun(settings, results, root)
    found = [_written(file, run) for file in output_files(settings)]
    found.append(_stored(settings, results, root))
    if on_github(settings):
        from pytest_hiddencost.run.ci_output import tell_github

        github = tell_github(settings, run.review)
        found.append(Written(warnings=github.warnings, commands=github.commands))
    return Written(
        tuple(line for each in found for line in each.lines),
        tuple(line for each in found for line in each.errors),
        tuple(line for each in found for line in each.warnings),
        tuple(line for each in found for line in each.commands),
    )


def on_github(settings: Settings) -> bool:
    """Return whether this run reports to GitHub."""
    if settings.github == "auto":
        return os.environ.get("GITHUB_ACTIONS") == "true"
    return settings.github == "on"


def _written(file: OutputFile, run: _EndedRun) -> Written:
    title, write = _WRITERS[file.name]
    try:
        line = write(file.path, run)
    except (OSError, ValueError) as error:
        why = f"{error}; choose another path (--hiddencost-{file.name})"
        return Written(errors=(f"hiddencost: the {title} was not written: {why}",))
    return Written((line,) if line else ())


def _stored(settings: Settings, results: Results, root: Path) -> Written:
    try:
        line, warning = add_to_store(settings, results, root)
    except StoreError as error:
        option = settings.store.where if settings.store else "--hiddencost-store"
        return Written(errors=(f"hiddencost: the run was not stored: {error} ({option})",))
    return Written((line,) if line else (), warnings=(warning,) if warning else ())


def _write_run_file(path: Path, run: _EndedRun) -> str:
    run_file.save(path, run.results.in_order(), run.device, run.root)
    return ""


def _write_metrics(path: Path, run: _EndedRun) -> str:
    from pytest_hiddencost.report.exports.openmetrics import openmetrics_text

    measured = run_file.RunFile(run.device, tuple(run.results.in_order()))
    with replacing(path) as file:
        file.write(openmetrics_text(measured).encode())
    return ""


def _write_markdown(path: Path, run: _EndedRun) -> str:
    from pytest_hiddencost.run.ci_output import write_markdown

    write_markdown(path, run.review)
    return ""


def _write_code_quality(path: Path, run: _EndedRun) -> str:
    from pytest_hiddencost.run.ci_output import write_code_quality

    write_code_quality(path, run.review)
    return ""


def _write_report(path: Path, run: _EndedRun) -> str:
    from pytest_hiddencost.report.html.page import report_page

    profiles = tuple(run.results.in_order())
    measured = run_file.RunFile(run.device, profiles, utc_now(), commit_line(run.root))
    page = report_page(measured, study=run.results.study_figures(measured))
    with replacing(path) as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    return f"hiddencost report: {path}"


_WRITERS: dict[str, tuple[str, Callable[[Path, _EndedRun], str]]] = {
    "json": ("run file", _write_run_file),
    "report": ("report", _write_report),
    "metrics": ("metrics file", _write_metrics),
    "markdown": ("Markdown summary", _write_markdown),
    "codequality": ("code-quality report", _write_code_quality),
}
"""The noun of each file in messages, and its writer, which returns the summary's line on it."""


def default_device(settings: Settings) -> Device:
    """Return the device that the settings name, or torch's default if the machine lacks it."""
    from pytest_hiddencost.measure import choose_device, describe_device

    try:
        device = choose_device(settings.device)
    except HiddenCostError:
        device = choose_device(None)
    return describe_device(device, settings.threads)
